export default () => ({ name: 'broken', begin() {}, advance() {} });
