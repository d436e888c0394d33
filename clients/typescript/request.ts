/** The fields that requests share (model, client, context), checked and written to messages. */

import { bytesOf } from '../../src/contract/bytes.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import type {
  ActResponse,
  AdaptResponse,
  QGradResponse,
  Timing,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkInteger, checkOneOf, checkText, shown } from './checks.ts';
import { checkHead, type Sender } from './received.ts';
import { sha1 } from './sha1.ts';
import { type Tensor, type TensorLike, tensorFields, toTensor } from './tensor.ts';

/** Which model and version; the newest version that is ready where neither version nor label is given. */
export type ModelSelection = {
  /** May be left empty beside a context handle, which is of one model. */
  readonly model: string;
  readonly version?: number;
  readonly label?: string;
};

export type RequestCommon = ModelSelection & {
  /** Refused where it is not the model's. */
  readonly fingerprint?: string;
  /** Up to 256 bytes. */
  readonly clientId?: string;
  /** Any number, in [0, 2^64); the response has it again. */
  readonly sequence?: bigint;
};

export type ResponseCommon = {
  /** The version that answered. */
  readonly version: number;
  /** Time since it was published. */
  readonly weightAgeMs: number;
  readonly sequence: bigint;
  /** Where the server spent the time, microseconds. */
  readonly timing: Timing;
};

export const selectionNames = ['model', 'version', 'label'] as const satisfies readonly (keyof ModelSelection)[];
export const commonNames = [
  ...selectionNames,
  'fingerprint',
  'clientId',
  'sequence',
] as const satisfies readonly (keyof RequestCommon)[];

type Selected =
  | { readonly case: 'version'; readonly value: number }
  | { readonly case: 'label'; readonly value: string }
  | { readonly case: undefined };

/** @throws HyperpolicyError invalid_argument */
export function selectionFields(where: string, given: ModelSelection): { model: string; selection: Selected } {
  const { model, version, label } = given;
  if (typeof model !== 'string') {
    throw invalidArgument({ where: `${where} model`, expected: 'the name of a model', actual: shown(model) });
  }
  checkOneOf(where, given, ['version', 'label']);
  if (version !== undefined) {
    checkInteger(`${where} version`, version, 1, 2 ** 32 - 1);
    return { model, selection: { case: 'version', value: version } };
  }
  if (label === undefined) return { model, selection: { case: undefined } };
  checkText(`${where} label`, label);
  return { model, selection: { case: 'label', value: label } };
}

const sequenceEnd = 2n ** 64n;

function checkName(where: string, given = ''): void {
  if (given !== '') checkText(where, given, 256);
}

/** @throws HyperpolicyError invalid_argument */
export function commonFields(where: string, given: RequestCommon) {
  const { fingerprint, clientId, sequence = 0n } = given;
  checkName(`${where} fingerprint`, fingerprint);
  checkName(`${where} clientId`, clientId);
  if (typeof sequence !== 'bigint' || sequence < 0n || sequence >= sequenceEnd) {
    throw invalidArgument({
      where: `${where} sequence`,
      expected: 'a bigint from 0n to 2n ** 64n - 1n',
      actual: shown(sequence),
    });
  }
  return { ...selectionFields(where, given), fingerprint: fingerprint ?? '', clientId: clientId ?? '', sequence };
}

export function checkSeed(where: string, seed: unknown): void {
  if (seed !== undefined) checkInteger(`${where} seed`, seed, 0, Number.MAX_SAFE_INTEGER);
}

export type GivenContext = { readonly context?: TensorLike; readonly contextHandle?: string };

/** A tensor of a request. @throws HyperpolicyError invalid_argument */
export const givenTensor = (where: string, name: string, given: TensorLike) =>
  tensorFields(toTensor(`${where} ${name}`, given));

/** The context of a request, or the handle in its place. @throws HyperpolicyError invalid_argument */
export function contextField(where: string, given: GivenContext): ContextField {
  const { context, contextHandle } = given;
  checkOneOf(where, given, ['context', 'contextHandle']);
  if (contextHandle !== undefined) {
    checkText(`${where} contextHandle`, contextHandle);
    return { case: 'contextHandle', value: contextHandle };
  }
  if (context === undefined) return { case: undefined };
  return { case: 'context', value: givenTensor(where, 'context', context) };
}

type ContextField =
  | { case: 'contextHandle'; value: string }
  | { case: 'context'; value: ReturnType<typeof tensorFields> }
  | { case: undefined };

/** How many rows a tensor of a request makes: [O] is one. */
export const rowCountOf = ({ shape }: Pick<Tensor, 'shape'>): number => (shape.length === 1 ? 1 : shape[0]!);

/** How many values a row has. */
export const columnCountOf = ({ shape }: Pick<Tensor, 'shape'>): number => shape.at(-1)!;

type Routed = { readonly clientId?: string } & GivenContext;

/**
 * The key by which a balancer chooses a server, so that a client finds its state again: the client's id, else the context, whose weights
 * the server keeps. Undefined: a key of the client object. So it is for handles: Adapt and the calls after it go to one server.
 */
export function routingKeyOf({ clientId, context, contextHandle }: Routed): string | undefined {
  if (clientId !== undefined && clientId !== '') {
    // Header fields are printable.
    return /^[\x21-\x7e]+$/.test(clientId) ? clientId : digest(new TextEncoder().encode(clientId));
  }
  if (context === undefined || contextHandle !== undefined) return undefined;
  return digest(bytesOf(toTensor('context', context).values));
}

/** The first 12 bytes of SHA-1 as base64url. */
function digest(bytes: Uint8Array): string {
  const first = String.fromCharCode(...sha1(bytes).subarray(0, 12));
  return btoa(first).replaceAll('+', '-').replaceAll('/', '_');
}

/** @throws HyperpolicyError failed_precondition where the response has no head */
export function commonResult(from: Sender, response: ActResponse | AdaptResponse | QGradResponse): ResponseCommon {
  const { version, weightAgeMs, sequence } = response;
  return { version, weightAgeMs, sequence, timing: checkHead(from, response) };
}
