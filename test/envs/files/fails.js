/** An environment that throws from its third step on, as a user's own may. */

let steps = 0;
const nothing = () => {};

export default () => ({
  name: 'fails',
  specs: {
    observation: { names: ['x'], low: [null], high: [null], units: ['m'] },
    action: { names: ['a'], low: [-1], high: [1], units: ['1'] },
    context: null,
  },
  episodeStepCountMax: 10,
  stepDurationS: 1,
  begin: nothing,
  advance(_, outcome) {
    if (++steps >= 3) throw new Error('out of cheese');
    outcome.reward = 0;
    outcome.terminated = false;
    return true;
  },
  observe: (observation) => observation.fill(0),
  capture: () => ({}),
  reinstate: nothing,
});
