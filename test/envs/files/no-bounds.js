const nothing = () => {};
export default () => ({
  name: 'no-bounds',
  specs: {
    observation: { names: ['x'], low: [null], high: [null], units: ['m'] },
    action: { names: ['f'], low: [] },
    context: null,
  },
  episodeStepCountMax: 5,
  stepDurationS: 1,
  begin: nothing,
  advance: nothing,
  observe: nothing,
  capture: nothing,
  reinstate: nothing,
});
