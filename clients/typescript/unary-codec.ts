/** The path of a unary method, and its messages to and from bytes. Act has a codec of its own. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { encodeActRequest } from '../../src/contract/act-request.ts';
import { decodeActResponse } from '../../src/contract/act-response.ts';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';

export type UnaryCodec<I extends DescMessage, O extends DescMessage> = {
  readonly path: string;
  encode(request: MessageInitShape<I>): Uint8Array;
  decode(bytes: Uint8Array): MessageShape<O>;
};

const codecs = new Map<DescMethodUnary, UnaryCodec<DescMessage, DescMessage>>();

export function codecOf<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>): UnaryCodec<I, O> {
  const known = codecs.get(method);
  if (known !== undefined) return known as unknown as UnaryCodec<I, O>;
  const { parent, name, input, output } = method;
  const made = {
    path: `/${parent.typeName}/${name}`,
    encode: (request: MessageInitShape<I>) => toBinary(input, create(input, request)),
    decode: (bytes: Uint8Array) => fromBinary(output, bytes),
    ...((method as DescMethodUnary) === PolicyService.method.act && {
      encode: encodeActRequest,
      decode: decodeActResponse,
    }),
  } as UnaryCodec<I, O>;
  codecs.set(method, made as unknown as UnaryCodec<DescMessage, DescMessage>);
  return made;
}
