/** Questions to several processes at once, and what their answers say together. */

import type { Logger } from 'pino';
import { silence } from './life-signs.ts';
import type { Member } from './member.ts';
import type { ReadyModel, ToProcess } from './messages.ts';

const metricsMsMax = 5000;

/**
 * Asks several processes at once, and gives the answer of each as it comes. Processes that die meanwhile are left out.
 * @throws the first error, after all have answered
 */
export async function askEach<Kind extends keyof ToProcess>(
  asked: readonly Member[],
  question: {
    readonly kind: Kind;
    readonly body: ToProcess[Kind]['body'];
    readonly timeoutMs: number;
    readonly after?: 'greeted' | 'caughtUp';
  },
  onAnswer: (member: Member, answer: ToProcess[Kind]['answer']) => void,
): Promise<void> {
  const ends = await Promise.allSettled(
    asked.map(async (member) => {
      const { link } = member;
      if (link === undefined) return;
      await member[question.after ?? 'greeted'];
      try {
        const answer = await link.ask(question.kind, question.body, question.timeoutMs);
        if (!link.closed) onAnswer(member, answer);
      } catch (error) {
        // Whoever takes its place reads the store anew.
        if (!link.closed) throw error;
      }
    }),
  );
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** What a process has counted; where it does not answer, its former counts stay: a sum that fell would read as a restart. */
export async function askForMetrics(member: Member, log: Logger): Promise<void> {
  const { link, number } = member;
  try {
    member.counted = await link!.ask('metrics', null, metricsMsMax);
  } catch (error) {
    if (!link!.closed) log.warn({ process: number, reason: (error as Error).message }, 'metrics are old');
  }
}

/** Why some process cannot answer; undefined where each can. */
export function whyNotReady(members: readonly Member[]): string | undefined {
  const hung = members.find(({ life }) => life?.isHung);
  if (hung !== undefined) return `process ${hung.number}: ${silence}`;
  const starting = members.find(({ models }) => models === undefined);
  if (starting !== undefined) return `process ${starting.number}: loading`;
  const empty = members.find(({ models }) => models!.length === 0);
  return empty && `process ${empty.number}: no model is ready`;
}

/** The versions that all of these have. */
export function inEvery([first = [], ...others]: readonly (readonly ReadyModel[])[]): readonly ReadyModel[] {
  return first.flatMap(({ model, versions }) => {
    const shared = versions.filter((version) =>
      others.every((models) => models.some((other) => other.model === model && other.versions.includes(version))),
    );
    return shared.length === 0 ? [] : [{ model, versions: shared }];
  });
}
