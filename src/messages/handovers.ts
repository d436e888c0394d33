/**
 * Closes connections that are lost on their way from the parent to a process. Node's cluster module keeps its own copy of each
 * connection until the process confirms it. If the process ends first, Node never closes the copy, and the client hangs (1 of 30 in
 * test/bench/NOTES.md). In Node's other mode the system distributes connections: none is lost, but of 60 one
 * process got 29 and the others 16 and 15.
 */

import type { ChildProcess } from 'node:child_process';

/** A message of Node's cluster module: a connection, or the receipt for one. */
type ClusterMessage = {
  readonly cmd?: unknown;
  readonly act?: unknown;
  readonly seq?: unknown;
  readonly ack?: unknown;
};

const clusterCommand = 'NODE_CLUSTER';

/**
 * When the process ends, Node closes the connections that it had not confirmed, as it closes all others of the process.
 * @param child of `cluster.fork`, before it serves
 */
export function closeLostConnections(child: ChildProcess): void {
  const onTheirWay = new Set<number>();
  const send = child.send.bind(child) as (...args: readonly unknown[]) => boolean;
  child.send = (...args: readonly unknown[]): boolean => {
    const { cmd, act, seq } = args[0] as ClusterMessage;
    if (cmd === clusterCommand && act === 'newconn') onTheirWay.add(seq as number);
    return send(...args);
  };
  child.on('internalMessage', ({ cmd, ack }: ClusterMessage) => {
    if (cmd === clusterCommand) onTheirWay.delete(ack as number);
  });
  let isDisconnected = false;
  child.once('disconnect', () => {
    isDisconnected = true;
  });
  child.once('exit', () => {
    // Node does not emit this while a receipt is missing. After this event Node sends no more connections to the process.
    if (!isDisconnected) child.emit('disconnect');
    // Replaces the receipt that the dead process cannot send: Node then closes its copy.
    for (const ack of [...onTheirWay]) child.emit('internalMessage', { cmd: clusterCommand, ack, accepted: true });
  });
}
