/** The program of one of several processes, forked by processes.ts: gets its settings, serves, and answers its parent. */

import { isDeepStrictEqual } from 'node:util';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { endProcess } from '../../src/contract/process-end.ts';
import { PrepareRequestSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { Link } from '../../src/messages/link.ts';
import { metricValues } from '../../src/metrics/joined.ts';
import { createCall } from '../call/rpc.ts';
import { parseServerConfig } from '../config.ts';
import { type KnownModels, type Loaded, Serving, type Started } from '../serving.ts';
import { createLateFaults } from '../telemetry/faults.ts';
import { createLog } from '../telemetry/log.ts';
import type { ToParent, ToProcess } from './messages.ts';
import { createSpentQueue } from './rates.ts';

let serving: Serving | undefined;
let starting: Promise<Started> | undefined;
let tellLoaded: (loaded: Loaded) => void = () => {};
/** Questions that need the models wait for this. If the start fails, this process ends, which fails them. */
const loaded = new Promise<Loaded>((resolve) => {
  tellLoaded = resolve;
});
/** For what this process prepares when another was asked. */
const onLateError = loaded.then(({ deps }) => createLateFaults('Prepare', deps.log));
let stopping: Promise<void> | undefined;
let told: KnownModels | undefined;

const link = new Link<ToParent, ToProcess>({
  name: 'the parent process',
  send: (message) => process.send!(message),
  answer: {
    async start({ settings, process: number, spool }) {
      const config = parseServerConfig(settings);
      const log = createLog(config.logLevel).child({ process: number });
      serving = new Serving(config, log, {
        spool: { ...spool, process: number },
        prepareElsewhere: (request, deadlineMs) =>
          link.ask('prepareElsewhere', { request: toBinary(PrepareRequestSchema, request), deadlineMs }, Infinity),
        onSpent: (name) => spentQueue.add({ [name]: 1 }),
        onModels: (known) => {
          if (isDeepStrictEqual(known, told)) return;
          told = known;
          // Without its parent a process ends.
          link.ask('knows', known, Infinity).catch(() => {});
        },
      });
      starting = serving.start(async (own) => {
        tellLoaded(own);
        const { left } = await link.ask('loaded', null, Infinity);
        own.doors.rates.goOnFrom(left);
      });
      const { port, httpPort, models } = await starting;
      log.info({ port, httpPort }, 'process serving');
      return { port, httpPort, models: models.ready() };
    },
    async refresh(asked) {
      const { models } = await loaded;
      await models.refresh(asked);
      return models.ready();
    },
    lives: async () => null,
    metrics: async () => metricValues(await serving!.metrics.registry.getMetricsAsJSON()),
    async prepare({ request, deadlineMs }) {
      const { models, handlers } = await loaded;
      const message = fromBinary(PrepareRequestSchema, request);
      const { model, selection } = message;
      // The asking process may have found the version first.
      const ready = models.ready().find((other) => other.model === model)?.versions;
      if (!ready?.includes(selection.value as number)) await models.refresh({ model });
      const call = createCall(performance.now(), deadlineMs, { onLateError: await onLateError });
      const { generatedCount = 0 } = await handlers.prepareHere(message, call);
      return generatedCount;
    },
    async spent(spent) {
      (await loaded).doors.rates.charge(spent);
      return null;
    },
    async stop() {
      await stop();
      return null;
    },
  },
});

const spentQueue = createSpentQueue((spent) => link.ask('spent', spent, Infinity));

/** Drains, frees everything and disconnects from the parent, so that this process ends. */
function stop(): Promise<void> {
  stopping ??= (async () => {
    await starting?.catch(() => {});
    await serving?.drain();
    await serving?.close();
    process.disconnect();
  })();
  return stopping;
}

process.on('message', (message) => link.receive(message));
process.prependOnceListener('disconnect', () => {
  link.close();
  // The parent is gone. `process.exit` would wait for a thread that is in native code.
  if (stopping === undefined) endProcess();
});
// A terminal signals every process; the parent alone acts on it and drains all.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => void stop());
await link.ask('hello', null, Number.POSITIVE_INFINITY);
