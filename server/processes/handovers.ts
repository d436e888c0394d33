/**
 * Connections on their way from the parent to one of its processes. Node's cluster module keeps its own copy of each until the process
 * confirms it. If the process ends first, Node waits for ever: nobody closes the copy, and the client hangs (one of 30 in
 * test/bench/NOTES.md). Node's other mode, where the system shares out connections, loses none, but gives one process half of them.
 */

import type { ChildProcess } from 'node:child_process';

/** A message of Node's cluster module: a connection that is handed over, or the receipt for one. */
type ClusterMessage = {
  readonly cmd?: unknown;
  readonly act?: unknown;
  readonly seq?: unknown;
  readonly ack?: unknown;
};

const clusterCommand = 'NODE_CLUSTER';

/**
 * Has Node close what a process was handed and has not taken when it ends. Clients see the end of their connection, as those of every
 * other connection of that process do.
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
    // Node does not emit this while a receipt is open. On it, Node hands no more connections to the process.
    if (!isDisconnected) child.emit('disconnect');
    // In place of the receipt that the dead process cannot send: Node then closes its copy.
    for (const ack of [...onTheirWay]) child.emit('internalMessage', { cmd: clusterCommand, ack, accepted: true });
  });
}
