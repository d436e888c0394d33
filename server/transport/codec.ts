/** How the messages of a method become bytes and back: by their descriptors, unless a method has a faster way of its own. */

import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';

export type Codec<I extends DescMessage, O extends DescMessage> = {
  /** @throws Error where the bytes do not parse */
  decode(bytes: Buffer): MessageShape<I>;
  encode(response: MessageInitShape<O>): Uint8Array;
};

/** The codec that every method can have. */
export const descriptorCodec = <I extends DescMessage, O extends DescMessage>({
  input,
  output,
}: DescMethod & { readonly input: I; readonly output: O }): Codec<I, O> => ({
  decode: (bytes) => fromBinary(input, bytes, { readUnknownFields: false }),
  encode: (response) => toBinary(output, create(output, response)),
});
