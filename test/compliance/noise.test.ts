import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { normalRow } from '../../src/contract/random.ts';

type Vector = { readonly seed: number; readonly row: number; readonly normals: number[] };

const { cases } = JSON.parse(readFileSync(new URL('./noise.json', import.meta.url), 'utf8')) as { cases: Vector[] };

test.each(cases)('the noise of seed $seed, row $row is that of the proto', ({ seed, row, normals }) => {
  const out = new Float32Array(normals.length);
  normalRow(seed, row, normals.length, out);
  for (const [dim, expected] of normals.entries()) expect(Math.abs(out[dim]! - expected)).toBeLessThan(1e-6);
});
