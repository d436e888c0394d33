import { describe, expect, test } from 'vitest';
import { createRandom, normalRow, philox } from '../../src/contract/random.ts';

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, '0')).join(' ');

describe('philox', () => {
  // Known answers: kat_vectors of the Random123 library, philox 4x32 with 10 rounds.
  test('matches the published vectors', () => {
    const out = new Uint32Array(4);
    philox([0, 0, 0, 0], [0, 0], out);
    expect(hex(out)).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    philox([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], out);
    expect(hex(out)).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd');
    philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], out);
    expect(hex(out)).toBe('d16cfe09 94fdcceb 5001e420 24126ea1');
  });
});

describe('createRandom', () => {
  test('continues from a saved position', () => {
    const whole = createRandom(7, 3);
    const draws = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? whole.normal() : whole.uniform()));
    const resumed = createRandom(7, 3);
    resumed.position = 4;
    expect(Array.from({ length: 6 }, (_, i) => (i % 2 === 0 ? resumed.normal() : resumed.uniform()))).toEqual(
      draws.slice(4),
    );
  });

  test('streams and seeds differ', () => {
    const first = [createRandom(1, 0), createRandom(1, 1), createRandom(2, 0), createRandom(1 + 2 ** 32, 0)];
    expect(new Set(first.map((random) => random.uniform())).size).toBe(4);
  });

  test('has the moments of its distributions', () => {
    const random = createRandom(11);
    const count = 20_000;
    let sum = 0;
    let squares = 0;
    let uniforms = 0;
    for (let i = 0; i < count; i++) {
      const x = random.normal();
      sum += x;
      squares += x * x;
      uniforms += random.uniform();
    }
    // Standard errors: 0.007 for the mean, 0.01 for the variance, 0.002 for the uniform mean; four of each.
    expect(Math.abs(sum / count)).toBeLessThan(0.028);
    expect(Math.abs(squares / count - 1)).toBeLessThan(0.04);
    expect(Math.abs(uniforms / count - 0.5)).toBeLessThan(0.008);
  });

  test('integers cover their range', () => {
    const random = createRandom(5);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 6000; i++) counts[random.integer(6)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(850);
  });

  test('refuses a seed out of range', () => {
    expect(() => createRandom(-1)).toThrow('seed: expected an integer in [0, 2^53), got -1');
  });
});

describe('normalRow', () => {
  test('a row does not depend on the rows beside it, nor a dim on the number of dims', () => {
    const wide = new Float32Array(6);
    normalRow(42, 3, 6, wide);
    const narrow = new Float32Array(4);
    normalRow(42, 3, 2, narrow, 1);
    expect([...narrow]).toEqual([0, wide[0], wide[1], 0]);
  });
});
