/** What a posterior over a latent context must be to be served. */

import type { Gaussian } from '../../src/posterior/latent-knowledge.ts';
import { checkResult, type Sent } from '../call/finite.ts';

/** Sums that float64 holds may make a Gaussian that float32 does not. @throws Error as badResult */
export function checkPosterior(
  { mean, variance, context }: Gaussian & { readonly context: Float32Array },
  sent: Sent,
): void {
  checkResult('posterior mean', mean, sent);
  checkResult('posterior variance', variance, sent);
  checkResult('posterior context', context, sent);
}
