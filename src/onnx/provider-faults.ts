/** What the texts of ONNX Runtime's providers tell: too little memory, no device, no GPU, a driver that is too old, a GPU that no code is for. */

/**
 * Of the runtime's arena, C++, CUDA and its libraries. cuBLAS often says NOT_INITIALIZED where it finds no memory for its handle.
 */
const memoryTexts =
  /bad_alloc|out of memory|not enough memory|failed to allocate|CUDA failure 2\b|_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED/i;

/** Whether memory did not suffice, of the device or of the host. */
export const lacksMemory = (text: string): boolean => memoryTexts.test(text);

/** Whether it is about a missing library, driver or adapter and not about the model. Texts of {@link lacksMemory} may look so, too. */
export const lacksDevice = (text: string): boolean => /adapter|shared library|driver|cuda/i.test(text);

/** What a device is told to lack where no files of its provider are there. */
export const noProvider = 'no provider of that name';

/** Whether the provider, or a library that it needs, is not there. The runtime says so before it reads a graph. */
export const lacksProvider = (text: string): boolean =>
  text === noProvider || /^OrtSessionOptionsAppendExecutionProvider_\w+: Failed to load shared library$/.test(text);

/** Whether CUDA's libraries need a newer driver than there is. They say the same where there is none. */
export const lacksDriver = (text: string): boolean =>
  /CUDA driver version is insufficient|CUDA failure 35\b/.test(text);

/** Whether the driver shows no GPU, or one that it cannot use yet or not beside this CUDA: it is not there, hidden from the process, or its services do not run. */
export const lacksGpu = (text: string): boolean => /\bCUDA failure (100|101|802|803)\b/.test(text);

/** Whether the provider, or a library of it, has no code for the GPU's architecture. Mostly the first run of a graph tells. */
export const lacksArchitecture = (text: string): boolean =>
  /no kernel image is available|CUDA failure 209\b|ARCH_MISMATCH/.test(text);

/** What a library says in a text that begins with the runtime's source paths. */
const libraryTexts = [
  /\bCU[A-Z]+ failure \d+: [^;\n]*[^;\s]/,
  /\bCUDA error \w+: ?[^;\n]*[^;\s]/,
  /Failed to allocate [^\n]*/,
];

/** The clause of the runtime's text that says what is wrong. */
export function clauseOf(text: string): string {
  for (const pattern of libraryTexts) {
    const found = pattern.exec(text);
    if (found !== null) return found[0];
  }
  return text
    .split('\n')[0]!
    .replace(/^.*was false\. /, '')
    .replace(/[. ]+$/, '');
}
