/** Codecs of a method's messages. The general one uses their descriptors; a method may have a faster one. */

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
  /** @throws Error if the bytes do not parse */
  decode(bytes: Buffer): MessageShape<I>;
  encode(response: MessageInitShape<O>): Uint8Array;
};

/** The general codec. */
export const descriptorCodec = <I extends DescMessage, O extends DescMessage>({
  input,
  output,
}: DescMethod & { readonly input: I; readonly output: O }): Codec<I, O> => ({
  decode: (bytes) => fromBinary(input, bytes, { readUnknownFields: false }),
  encode: (response) => toBinary(output, create(output, response)),
});
