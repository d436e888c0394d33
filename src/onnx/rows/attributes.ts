/** Attributes of nodes, with their defaults. */

import type { NodeProto } from '../../gen/onnx/onnx_pb.ts';

export const integerAttribute = ({ attribute }: NodeProto, name: string, otherwise: number): number => {
  const found = attribute.find((one) => one.name === name);
  return found === undefined ? otherwise : Number(found.i);
};

export const floatAttribute = ({ attribute }: NodeProto, name: string, otherwise: number): number =>
  attribute.find((one) => one.name === name)?.f ?? otherwise;
