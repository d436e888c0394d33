/** Arrays in memory that threads share, which each thread lays out alike. */

type ArrayType<T> = {
  readonly BYTES_PER_ELEMENT: number;
  new (memory: SharedArrayBuffer, byteOffset: number, length: number): T;
};

/** The next array in the memory. It starts at a cache line of its own: one thread writes while others read. */
export type TakeArray = <T>(type: ArrayType<T>, length: number) => T;

const lineBytes = 64;

/**
 * Lays out arrays in new memory, zeroed, or looks at memory that another thread laid out.
 * @param layOut takes the arrays, each time in the same order; new memory is measured with it first
 * @param memory from another thread; allocated if absent
 */
export function shareArrays<T>(
  layOut: (take: TakeArray) => T,
  memory: SharedArrayBuffer = new SharedArrayBuffer(byteCountOf(layOut)),
): T & { readonly memory: SharedArrayBuffer } {
  let offset = 0;
  const arrays = layOut((type, length) => {
    const array = new type(memory, offset, length);
    offset += bytesOf(type, length);
    return array;
  });
  return { ...arrays, memory };
}

function byteCountOf(layOut: (take: TakeArray) => unknown): number {
  const none = new SharedArrayBuffer(0);
  let byteCount = 0;
  layOut((type, length) => {
    byteCount += bytesOf(type, length);
    return new type(none, 0, 0);
  });
  return byteCount;
}

const bytesOf = ({ BYTES_PER_ELEMENT }: ArrayType<unknown>, length: number): number =>
  Math.ceil((BYTES_PER_ELEMENT * length) / lineBytes) * lineBytes;
