/** A run's metrics for Prometheus, over HTTP while it trains. */

import { Counter, Gauge, Registry } from 'prom-client';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { addressOf } from '../../src/contract/ports.ts';
import { listenForMetrics } from '../../src/metrics/metrics-listener.ts';
import { registerProcessMetrics } from '../../src/metrics/process-metrics.ts';
import { snakeCase } from './scalars.ts';

export type MetricsPortOptions = {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
};

export type MetricsPort = {
  /** `host:port`, as it was bound. */
  readonly address: string;
  /** Says whose metrics these are: once, as labels of `hyperpolicy_training_info`. */
  describe(labels: Readonly<Record<string, string>>, plannedStepCount: number): void;
  /** The step that this process begins at: 0, or that of the checkpoint. */
  begin(step: number): void;
  step(step: number): void;
  record(record: Readonly<Record<string, number>>): void;
  checkpoint(): void;
  close(): Promise<void>;
};

const prefix = 'hyperpolicy_training_';

/**
 * Listens at once: a port that is taken is noticed before the training.
 * @throws HyperpolicyError failed_precondition: the port cannot be had
 */
export async function openMetricsPort({ host, port }: MetricsPortOptions): Promise<MetricsPort> {
  const registry = new Registry();
  registerProcessMetrics(registry);
  const listener = await listenForMetrics(registry, {
    host,
    port,
    hostRemedy: 'Ask by the address, or bind to that name with --metrics-host',
    refusal: (cause) =>
      failedPrecondition({
        where: `--metrics-port ${port}`,
        expected: `a port that is free at ${host}`,
        actual: cause.code === 'EADDRINUSE' ? 'one that is in use' : cause.message,
        remedy: 'Choose another; 0 takes any that is free',
        cause,
      }),
  });
  return { address: addressOf(host, listener.port), ...metricsIn(registry), close: listener.close };
}

function metricsIn(registry: Registry): Pick<MetricsPort, 'describe' | 'begin' | 'step' | 'record' | 'checkpoint'> {
  const registers = [registry];
  const gauges = new Map<string, Gauge>();
  const gauge = (name: string, help: string): Gauge => {
    const known = gauges.get(name) ?? new Gauge({ name: `${prefix}${name}`, help, registers });
    gauges.set(name, known);
    return known;
  };
  const steps = new Counter({
    name: `${prefix}steps_total`,
    help: 'Steps, of MAML and PEARL iterations, that this process has done.',
    registers,
  });
  const position = gauge(
    'step',
    'Step, or iteration, of the run; a run that was resumed begins at that of its checkpoint.',
  );
  let last = 0;
  return {
    describe(labels, plannedStepCount) {
      const labelNames = Object.keys(labels);
      new Gauge({ name: `${prefix}info`, help: 'The run: always 1.', labelNames, registers }).set(labels, 1);
      gauge('planned_steps', 'Steps, or iterations, of the whole run.').set(plannedStepCount);
    },
    begin(step) {
      last = step;
      position.set(step);
    },
    step(step) {
      if (step > last) steps.inc(step - last);
      last = step;
      position.set(step);
    },
    record({ step: _, ...metrics }) {
      for (const [name, value] of Object.entries(metrics)) {
        gauge(snakeCase(name), `Newest ${name} of the run's metrics.`).set(value);
      }
    },
    checkpoint() {
      gauge(
        'last_checkpoint_timestamp_seconds',
        'When the newest checkpoint was written, Unix time.',
      ).setToCurrentTime();
    },
  };
}
