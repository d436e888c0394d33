/** The client of AdminService: which versions of a model are served, and to whom. */

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { AdminService, type ModelStatus } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { checkInteger, checkOptions, checkShares, checkText, checkTime } from './checks.ts';
import { type ConnectionOptions, connectionOptionNames, createConnection } from './connection.ts';
import { unusable } from './received.ts';
import { callUnary } from './unary.ts';

export type AdminClientOptions = ConnectionOptions & {
  /** For calls that name no timeout of their own, milliseconds; loading a version takes time. 60 s unless given. */
  readonly timeoutMs?: number;
};

export type AdminClient = {
  /** Serves a version that was unloaded, rolled back, or is older than those that are kept. */
  loadVersion(model: string, version: number): Promise<ModelStatus>;
  unloadVersion(model: string, version: number): Promise<ModelStatus>;
  /** @param version undefined removes the label */
  setLabel(model: string, label: string, version: number | undefined): Promise<ModelStatus>;
  /** @param percentages label -> percentage, summing to 100; empty gives every client the newest version */
  setTraffic(model: string, percentages: Readonly<Record<string, number>>): Promise<ModelStatus>;
  /** Withdraws the newest version; the one before it answers from then on. */
  rollback(model: string): Promise<ModelStatus>;
  close(): void;
};

/** Loading keeps a server from answering pings for a while: it is given longer than a robot would wait. */
const patience = { keepaliveMs: 10_000, keepaliveTimeoutMs: 20_000 } as const;

const versionMax = 2 ** 32 - 1;

/** Errors are those of `createPolicyClient`. */
export function createAdminClient(options: AdminClientOptions): AdminClient {
  const where = 'createAdminClient';
  checkOptions(where, options, [...connectionOptionNames, 'timeoutMs']);
  const { timeoutMs = 60_000 } = options;
  checkTime(`${where} timeoutMs`, timeoutMs);
  const { keepaliveMs = patience.keepaliveMs, keepaliveTimeoutMs = patience.keepaliveTimeoutMs } = options;
  const connection = createConnection(where, { ...options, keepaliveMs, keepaliveTimeoutMs });
  const call = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<ModelStatus> => {
    const response: MessageShape<O> = await callUnary(connection, method, request, { timeoutMs });
    const { status } = response as MessageShape<O> & { status?: ModelStatus };
    if (status === undefined) {
      throw unusable({ method: method.name, address: connection.address }, 'a response without status');
    }
    return status;
  };
  const { loadVersion, unloadVersion, setLabel, setTraffic, rollback } = AdminService.method;
  const versionOf = (method: DescMethodUnary, model: string, version: number) => {
    checkText(`${method.name} model`, model);
    checkInteger(`${method.name} version`, version, 1, versionMax);
    return { model, version };
  };
  return {
    loadVersion: async (model, version) => call(loadVersion, versionOf(loadVersion, model, version)),
    unloadVersion: async (model, version) => call(unloadVersion, versionOf(unloadVersion, model, version)),
    async setLabel(model, label, version) {
      checkText('SetLabel model', model);
      checkText('SetLabel label', label);
      if (version !== undefined) checkInteger('SetLabel version', version, 1, versionMax);
      return call(setLabel, { model, label, version: version ?? 0 });
    },
    async setTraffic(model, percentages) {
      checkText('SetTraffic model', model);
      checkShares('SetTraffic percentages', percentages);
      return call(setTraffic, { model, percentages: { ...percentages } });
    },
    async rollback(model) {
      checkText('Rollback model', model);
      return call(rollback, { model });
    },
    close: connection.close,
  };
}
