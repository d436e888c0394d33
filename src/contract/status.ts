/** gRPC's statuses, and the one table between them and the kinds of error. Servers write by it, clients read by it. */

import { type ErrorKind, type StatusName, statusByKind, statusCodes } from './error-kinds.ts';

export { type StatusName, statusByKind, statusCodes } from './error-kinds.ts';

const kindByStatus: ReadonlyMap<string, ErrorKind> = new Map(
  Object.entries(statusByKind).map(([kind, status]) => [status, kind as ErrorKind]),
);

/** @returns undefined for a status that is no kind of error: OK and faults */
export const kindOfStatus = (status: string): ErrorKind | undefined => kindByStatus.get(status);

const nameByCode: ReadonlyMap<number, string> = new Map(
  Object.entries(statusCodes).map(([name, code]) => [code, name]),
);

/** As `kindOfStatus`, by the code. */
export const kindOfCode = (code: number): ErrorKind | undefined => kindOfStatus(nameByCode.get(code) ?? '');

/** A status as Go's libraries write it in metrics (`NotFound`): common dashboards and alerts, such as those of etcd, ask for that form. */
export const codeOf = (status: StatusName): string => {
  if (status === 'OK') return 'OK';
  // Go has one l.
  if (status === 'CANCELLED') return 'Canceled';
  return status.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
};
