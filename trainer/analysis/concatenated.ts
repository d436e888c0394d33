/** Arrays of numbers one after the other in a new one. @param make the kind of all of them */
export function concatenated<T extends Float32Array | Float64Array>(
  make: new (size: number) => T,
  parts: readonly T[],
): T {
  const whole = new make(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
