/** A cart on a line, as a user would write it: a class, no imports, no context. */

class Cart {
  name = 'cart';
  specs = {
    observation: { names: ['x', 'v'], low: [null, null], high: [null, null], units: ['m', 'm/s'] },
    action: { names: ['force'], low: [-1], high: [1], units: ['N'] },
    context: null,
  };
  episodeStepCountMax = 30;
  stepDurationS = 0.1;
  x = 0;
  v = 0;

  begin(random) {
    this.x = random.uniform();
    this.v = 0;
  }

  advance(action, outcome) {
    this.v += 0.1 * Math.max(-1, Math.min(1, action[0]));
    this.x += 0.1 * this.v;
    outcome.reward = -Math.abs(this.x);
    outcome.terminated = this.x > 1.2;
    return true;
  }

  observe(observation) {
    observation[0] = this.x;
    observation[1] = this.v;
  }

  capture() {
    return { motion: Float64Array.of(this.x, this.v) };
  }

  reinstate({ motion }) {
    [this.x, this.v] = motion;
  }
}

export default () => new Cart();
