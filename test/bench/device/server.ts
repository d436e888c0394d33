/** The servers of the device check: what they warn of becomes notes, and why they refuse a version can be asked. */

import { objectOf, type ServerChild, startServerProcess } from '../serve-processes.ts';
import type { Fields, Lines } from './lines.ts';
import type { Section } from './section.ts';

export type CheckedServer = ServerChild & {
  /** Why the last version of a model was refused; undefined where none was. */
  refusal(model: string): string | undefined;
};

/** pino's, from `warn` on. */
const levels: Readonly<Record<number, string>> = { 40: 'warn', 50: 'error', 60: 'fatal' };
/** Of one server, so that what repeats does not hide the rest. */
const noteCountMax = 20;

/** Starts one on the section's device, which ends with the section at the latest. */
export async function startServer(
  { device, lines, signal }: Pick<Section, 'device' | 'lines' | 'signal'>,
  store: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<CheckedServer> {
  const log = createLogReader(device, lines);
  let isStopped = false;
  const begin = performance.now();
  const server = await startServerProcess(store, ['--device', device, ...args], {
    signal,
    env,
    onLine: log.read,
    onEnd: (how) => {
      if (!isStopped || how !== 'exit code 0') lines.note('server ended', { device, how, isStopped });
    },
  });
  lines.note('server started', { device, args, seconds: (performance.now() - begin) / 1000 });
  const stop = (): Promise<void> => {
    isStopped = true;
    log.end();
    return server.stop();
  };
  return { ...server, stop, refusal: log.refusal };
}

/** Notes lines of a server's log that warn. @param device is named in each */
export function createLogReader(device: string, lines: Pick<Lines, 'note'>) {
  const refusals = new Map<string, string>();
  let noteCount = 0;
  const note = (fields: Fields) => {
    noteCount += 1;
    if (noteCount <= noteCountMax) lines.note('server', { device, ...fields });
  };
  return {
    read(line: string): void {
      const entry = objectOf(line);
      if (entry === undefined) {
        note({ text: line });
        return;
      }
      const { level, time, pid, hostname, ...fields } = entry;
      const name = levels[Number(level)];
      if (name === undefined) return;
      const { msg, model, reason } = fields;
      if (msg === 'model version refused') refusals.set(String(model), String(reason));
      note({ level: name, ...fields });
    },
    refusal: (model: string) => refusals.get(model),
    end(): void {
      const leftOut = noteCount - noteCountMax;
      if (leftOut > 0) lines.note('further lines of the server are left out', { device, count: leftOut });
    },
  };
}
