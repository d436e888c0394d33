/**
 * Records where user code is, in memory that another thread can read meanwhile: a member that never returns cannot report it. Each thread
 * has one trail.
 */

const members = [
  'its module',
  'its default export',
  'begin',
  'advance',
  'observe',
  'capture',
  'reinstate',
  'reset',
  'step',
  'save',
  'restore',
  'scene',
  'dispose',
  'tasks.draw',
  'tasks.sample',
  'context',
] as const;
export type UserMember = (typeof members)[number];

const codes = new Map(members.map((member, i) => [member, i + 1]));

/** Places of the trail: the member that runs (0 if none does), the episode (0 before the first, -1 one of a saved state), its step. */
const slot = { member: 0, episode: 1, step: 2 } as const;
export const trailSize = 3;

let trail: Int32Array | undefined;

/** From now on this thread records in `memory` where its user code is: `trailSize` integers that threads share. */
export function leaveTrail(memory: Int32Array): void {
  trail = memory;
}

export function enterMember(member: UserMember): void {
  if (trail !== undefined) trail[slot.member] = codes.get(member)!;
}

export function leaveMember(): void {
  if (trail !== undefined) trail[slot.member] = 0;
}

/** @param episode from 1; 0 before the first, -1 one whose state was saved and put back: of a run that goes on, or of several that take turns */
export function enterStep(episode: number, step: number): void {
  if (trail === undefined) return;
  trail[slot.episode] = episode;
  trail[slot.step] = step;
}

/** Where in its episodes user code is, as errors say it: `, episode 3 step 12`, or nothing. */
export function placeText(episode: number, step: number): string {
  if (episode < 0) return `, step ${step} of an episode`;
  if (episode === 0) return '';
  return step === 0 ? `, episode ${episode}` : `, episode ${episode} step ${step}`;
}

/** A trail in words: `advance, episode 3 step 12`; undefined if no user code runs. */
export function readTrail(memory: Int32Array): string | undefined {
  const member = members[memory[slot.member]! - 1];
  return member && `${member}${placeText(memory[slot.episode]!, memory[slot.step]!)}`;
}
