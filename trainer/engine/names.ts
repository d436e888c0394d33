/** Names of the engines, apart from the engines, which take long to load. */

/** `traced` compiles to ONNX; the others run operation by operation, on TensorFlow or in plain JavaScript. */
export const engineNames = ['traced', 'tensorflow', 'cpu'] as const;
export type EngineName = (typeof engineNames)[number];
