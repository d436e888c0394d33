/** Packages that were refused: when they are tried again. */

export type Refusal = {
  /** State of the files: with another one the package is tried again. */
  readonly state: string;
  readonly delayMs: number;
  readonly retryAtMs: number;
  /** It was loaded, and withdrawn. */
  readonly wasServed?: true;
};

/** System errors that are no fault of the package. */
const passingCodes = new Set([
  'EACCES',
  'EAGAIN',
  'EBUSY',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EPERM',
  'ESTALE',
  'ETIMEDOUT',
]);
const passingKinds: readonly unknown[] = ['resource_exhausted', 'unavailable', 'deadline_exceeded'];

/** Whether the same files may load later. Causes count as well. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { kind, code, cause } = error as Error & { kind?: unknown; code?: unknown };
  if (passingKinds.includes(kind) || passingCodes.has(String(code))) return true;
  return cause !== error && isPassing(cause);
}
