export default 'cart';
throw new Error('at load');
