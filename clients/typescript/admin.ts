/** The client of AdminService: which versions of a model are served, and to whom. */

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { AdminService, type ModelStatus } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { type ConnectionOptions, createConnection } from './connection.ts';
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

/** Errors are those of `createPolicyClient`. */
export function createAdminClient({ timeoutMs = 60_000, ...options }: AdminClientOptions): AdminClient {
  const connection = createConnection(options);
  const call = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<ModelStatus> => {
    const response: MessageShape<O> = await callUnary(connection, method, request, { timeoutMs });
    return (response as MessageShape<O> & { status: ModelStatus }).status;
  };
  const { loadVersion, unloadVersion, setLabel, setTraffic, rollback } = AdminService.method;
  return {
    loadVersion: (model, version) => call(loadVersion, { model, version }),
    unloadVersion: (model, version) => call(unloadVersion, { model, version }),
    setLabel: (model, label, version) => call(setLabel, { model, label, version: version ?? 0 }),
    setTraffic: (model, percentages) => call(setTraffic, { model, percentages: { ...percentages } }),
    rollback: (model) => call(rollback, { model }),
    close: () => connection.client.close(),
  };
}
