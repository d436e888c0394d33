/** The unary methods of a service, each with its handler. */

import type { DescMessage, DescMethodUnary, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { UnaryHandler, UnaryHandlers } from '../call/rpc.ts';

/** The handler of any method. */
export type SomeHandler = UnaryHandler<MessageShape<DescMessage>, MessageInitShape<DescMessage>>;

export function unaryMethodsOf<S extends DescService>({ methods }: S, handlers: UnaryHandlers<S>) {
  const byName = handlers as unknown as Readonly<Record<string, SomeHandler>>;
  return methods
    .filter((method): method is DescMethodUnary => method.methodKind === 'unary')
    .map((method) => [method, byName[method.localName]!] as const);
}
