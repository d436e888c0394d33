import { readFileSync } from 'node:fs';
import { type DescMethodUnary, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerSettings } from '../../server/config.ts';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type PackageOptions, startTestServer } from '../server/fixtures.ts';
import { type RawCaller, rawCaller } from './raw-call.ts';

type Case = {
  readonly name: string;
  readonly method: 'Act' | 'QGrad' | 'Adapt' | 'Prepare' | 'ListModels' | 'GetModel';
  /** A value `$name` is what a case before saved under that name. */
  readonly request: Record<string, JsonValue>;
  readonly status?: string;
  /** The whole text; a regular expression where it begins with ^. */
  readonly text?: string;
  /** By path in the response's JSON; null is a default, which JSON leaves out. */
  readonly response?: Record<string, JsonValue>;
  /** Name -> path in the response's JSON. */
  readonly save?: Record<string, string>;
};

type Suite = {
  readonly packages: readonly PackageOptions[];
  readonly settings: ServerSettings;
  readonly cases: readonly Case[];
};

const suite = JSON.parse(readFileSync(new URL('./service.json', import.meta.url), 'utf8')) as Suite;

const methods: Record<Case['method'], DescMethodUnary> = {
  Act: PolicyService.method.act,
  QGrad: PolicyService.method.qGrad,
  Adapt: PolicyService.method.adapt,
  Prepare: PolicyService.method.prepare,
  ListModels: PolicyService.method.listModels,
  GetModel: PolicyService.method.getModel,
};

/** Tensors as a case writes them, to what protobuf's JSON has. */
function expandTensors(request: Record<string, JsonValue>): JsonValue {
  const expand = (given: JsonValue): JsonValue => {
    if (given === null || typeof given !== 'object' || !('shape' in given)) return given;
    const { shape, values, fill, bytes } = given as {
      shape: number[];
      values?: (number | string)[];
      fill?: number;
      bytes?: number;
    };
    const size = shape.reduce((product, length) => product * length, 1);
    const data =
      bytes === undefined
        ? Buffer.from(new Float32Array(values?.map(Number) ?? Array.from({ length: size }, () => fill ?? 0)).buffer)
        : Buffer.alloc(bytes);
    return { shape, data: data.toString('base64') };
  };
  return Object.fromEntries(Object.entries(request).map(([name, value]) => [name, expand(value)]));
}

const at = (json: JsonValue, path: string): JsonValue | undefined =>
  path
    .split('.')
    .reduce<JsonValue | undefined>((value, key) => (value as Record<string, JsonValue> | undefined)?.[key], json);

describe('the policy service', () => {
  let call: RawCaller;
  const saved: Record<string, JsonValue> = {};
  const fill = (value: JsonValue): JsonValue =>
    typeof value === 'string' && value.startsWith('$') ? saved[value.slice(1)]! : value;
  beforeAll(async () => {
    const { address } = await startTestServer(suite.packages, suite.settings, afterAll);
    call = rawCaller(address, afterAll);
  });

  test.each(suite.cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const { method, request, status = 'OK', text, response = {}, save = {} } = one;
    const { input, output } = methods[method];
    const bytes = toBinary(
      input,
      fromJson(
        input,
        expandTensors(Object.fromEntries(Object.entries(request).map(([name, value]) => [name, fill(value)]))),
      ),
    );
    const result = await call(`/${PolicyService.typeName}/${method}`, bytes);
    if (status !== 'OK' || !('bytes' in result)) {
      expect(result).toEqual({
        status,
        text: text?.startsWith('^') ? expect.stringMatching(new RegExp(text)) : text,
      });
      return;
    }
    const json = toJson(output, fromBinary(output, result.bytes));
    const got = Object.fromEntries(Object.keys(response).map((path) => [path, at(json, path) ?? null]));
    expect(got).toEqual(response);
    for (const [name, path] of Object.entries(save)) saved[name] = at(json, path)!;
  });
});
