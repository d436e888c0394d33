/** The unary methods of a service, each with its handler. */

import type { DescMessage, DescMethod, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { UnaryHandler } from '../call/rpc.ts';

type Service = { readonly methods: readonly DescMethod[]; readonly method: Readonly<Record<string, DescMethod>> };

/** A handler for each unary method, by its name in code. */
export type UnaryHandlers<S extends Service> = {
  readonly [Name in keyof S['method'] as S['method'][Name] extends { methodKind: 'unary' }
    ? Name
    : never]: UnaryHandler<MessageShape<S['method'][Name]['input']>, MessageInitShape<S['method'][Name]['output']>>;
};

/** The handler of a method whose messages are not known here. */
export type SomeHandler = UnaryHandler<MessageShape<DescMessage>, MessageInitShape<DescMessage>>;

export function unaryMethodsOf<S extends Service>(
  { methods }: S,
  handlers: UnaryHandlers<S>,
): (readonly [DescMethodUnary, SomeHandler])[] {
  const byName = handlers as unknown as Readonly<Record<string, SomeHandler>>;
  return methods
    .filter((method): method is DescMethodUnary => method.methodKind === 'unary')
    .map((method) => [method, byName[method.localName]!]);
}
