/** The cart, whose steps take 5 ms and wait as long as there is a file of the name in STALL. */

import { existsSync } from 'node:fs';
import createCart from './cart.js';

const wait = (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

export default () => {
  const cart = createCart();
  const advance = cart.advance.bind(cart);
  cart.advance = (action, outcome) => {
    wait(5);
    while (existsSync(process.env.STALL)) wait(50);
    return advance(action, outcome);
  };
  return cart;
};
