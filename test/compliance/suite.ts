/** The suites of `service/`: their format, and the server that one asks for. README.md says the same for other languages. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DescMethod, DescService, JsonValue } from '@bufbuild/protobuf';
import type { ServerSettings } from '../../server/config.ts';
import { Health } from '../../src/gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import { AdminService } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { GRPCInferenceService } from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import { publishRandomPackage } from '../random-package.ts';
import { type CleanUp, metricLines, type PackageOptions, startTestServer, temporaryStore } from '../server/fixtures.ts';

/** Paths in a message's JSON, and what is there. */
export type Expected = Readonly<Record<string, JsonValue>>;

export type Outcome = {
  readonly status?: string;
  /** The whole text; a regular expression where it begins with ^. */
  readonly text?: string;
};

type CallOf = {
  /** A method of the policy service, or `package.Service/Method`. */
  readonly method: string;
  /** `admin` unless it is a method of the policy service's port. */
  readonly port?: 'serving' | 'admin';
  readonly token?: string;
  /** The client's deadline. */
  readonly deadlineMs?: number;
};

/** A single call. */
export type CallCase = CallOf &
  Outcome & {
    readonly name: string;
    readonly request?: Readonly<Record<string, JsonValue>>;
    /** In place of a request, hexadecimal. */
    readonly bytes?: string;
    readonly response?: Expected;
    /** Name -> path in the response's JSON. */
    readonly save?: Readonly<Record<string, string>>;
    /** Made so many times at once; each outcome comes at least once, and no other. */
    readonly repeat?: number;
    readonly outcomes?: readonly Outcome[];
  };

export type Step =
  | { readonly send: Readonly<Record<string, JsonValue>> }
  | { readonly sendBytes: string }
  | { readonly receive: Expected }
  | { readonly finish: true }
  | { readonly call: Omit<CallCase, 'name'> }
  | { readonly terminate: true }
  | { readonly end: string; readonly text?: string };

/** A stream. */
export type StreamCase = CallOf & {
  readonly name: string;
  /** So many streams more are opened before, with the steps up to the first answer, and stay open once they have theirs. */
  readonly beside?: number;
  readonly steps: readonly Step[];
};

export type Case = CallCase | StreamCase;

export const isStream = (one: Case): one is StreamCase => 'steps' in one;

type Token = { readonly name: string; readonly token: string } & Readonly<Record<string, JsonValue>>;

export type Suite = {
  readonly about: string;
  readonly packages: readonly (PackageOptions & { readonly damaged?: boolean })[];
  readonly settings: ServerSettings;
  readonly tokens?: readonly Token[];
  /** Settings that name a directory: the server gets one of its own, which is removed once it serves. */
  readonly lost?: readonly 'handleDirectory'[];
  readonly cases: readonly Case[];
};

const directory = new URL('./service/', import.meta.url);

/** Every suite by the name of its file. */
export const suites: readonly (readonly [string, Suite])[] = readdirSync(directory)
  .filter((file) => file.endsWith('.json'))
  .sort()
  .map((file) => [file.slice(0, -'.json'.length), JSON.parse(readFileSync(new URL(file, directory), 'utf8')) as Suite]);

/** The services that a server has. */
export const services: readonly DescService[] = [
  PolicyService,
  AdminService,
  GRPCInferenceService,
  Health,
  ServerReflection,
];

/** The full name of a case's method. */
export const fullName = (method: string): string =>
  method.includes('/') ? method : `${PolicyService.typeName}/${method}`;

/** Undefined where the server has none of this name. */
export function methodOf(name: string): DescMethod | undefined {
  const [service, method] = fullName(name).split('/');
  return services.find(({ typeName }) => typeName === service)?.methods.find((one) => one.name === method);
}

export type SuiteServer = {
  /** `http` is a URL, where the settings have an `httpPort`. */
  readonly addresses: Readonly<Record<'serving' | 'admin' | 'http', string>>;
  /** Messages of ActStream that it has so far. */
  streamed(): Promise<number>;
  /** As SIGTERM does. */
  terminate(): void;
};

/** The server that a suite asks for; it ends in the end. */
export async function startSuite(
  { packages, settings, tokens, lost = [] }: Suite,
  cleanUp: CleanUp,
): Promise<SuiteServer> {
  const store = await temporaryStore([], cleanUp);
  for (const { damaged, ...options } of packages) {
    const published = await publishRandomPackage({ store, ...options });
    if (damaged === true) await truncate(join(published.directory, 'policy.onnx'));
  }
  const tokensFile = tokens === undefined ? null : join(await temporaryStore([], cleanUp), 'tokens.json');
  if (tokensFile !== null) await writeFile(tokensFile, JSON.stringify(tokens!.map(hashed)));
  const directories = await Promise.all(lost.map(async (name) => [name, await temporaryStore([], cleanUp)] as const));
  const own = { store, tokensFile, adminPort: 0, ...Object.fromEntries(directories) };
  const started = await startTestServer([], { ...settings, ...own }, cleanUp);
  const { server, address } = started;
  for (const [, path] of directories) await rm(path, { recursive: true });
  return {
    addresses: {
      serving: address,
      admin: `127.0.0.1:${server.adminPort}`,
      http: `http://127.0.0.1:${server.httpPort}`,
    },
    async streamed() {
      const lines = await metricLines(started, 'grpc_server_msg_received_total');
      return Object.entries(lines).reduce((sum, [name, count]) => sum + (/"ActStream"/.test(name) ? count : 0), 0);
    },
    terminate: () => void server.stop(),
  };
}

const hashed = ({ token, ...others }: Token) => ({
  ...others,
  sha256: createHash('sha256').update(token).digest('hex'),
});
