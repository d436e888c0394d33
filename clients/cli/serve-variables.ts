/** Environment variables of `hyperpolicy serve`: their names, and the error for one that is not known. */

import { InvalidArgumentError } from 'commander';
import { invalidArgument } from '../../src/contract/errors.ts';

const prefix = 'HYPERPOLICY_';

/** The variable that stands for a flag. @param flags as commander takes them: `--metrics-port <port>` */
export const variableOf = (flags: string): string =>
  prefix + flags.split(' ')[0]!.slice(2).replaceAll('-', '_').toUpperCase();

/** Of other commands, and of tests. */
const others = [
  'HYPERPOLICY_TOKEN',
  'HYPERPOLICY_ENV',
  'HYPERPOLICY_PYTHON',
  'HYPERPOLICY_KSERVE_PYTHON',
  'HYPERPOLICY_PERF_ANALYZER',
  'HYPERPOLICY_GRPCURL',
  'HYPERPOLICY_GRPC_HEALTH_PROBE',
];
/** Those that Kubernetes sets in each container where a service is called `hyperpolicy`. */
const ofKubernetes = /^HYPERPOLICY_(SERVICE_|PORT_\d)/;
/** Those that it sets for any service. */
const ofService = { name: /_SERVICE_|_PORT_\d/, value: /^(tcp|udp|sctp):\/\// };
const serviceRemedy =
  'Kubernetes sets it for a service: say enableServiceLinks: false in the pod, or rename the service';

/**
 * A variable that is misspelt would be a setting that is not in force.
 * @throws HyperpolicyError invalid_argument naming the first that nobody knows
 */
export function refuseUnknownVariables(environment: NodeJS.ProcessEnv, known: readonly string[]): void {
  const unknown = Object.keys(environment).find(
    (name) => name.startsWith(prefix) && !known.includes(name) && !others.includes(name) && !ofKubernetes.test(name),
  );
  if (unknown === undefined) return;
  const isOfService = ofService.name.test(unknown) || ofService.value.test(environment[unknown] ?? '');
  throw invalidArgument({
    where: `variable ${unknown}`,
    expected: `${prefix} and the name of a flag in capitals`,
    actual: 'another name',
    remedy: isOfService ? serviceRemedy : 'See "hyperpolicy serve --help"',
  });
}

/** A parser whose error tells what an address is that Kubernetes has put into the variable of a port. */
export const namingServices =
  <T>(parse: (text: string) => T) =>
  (text: string): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError) || !ofService.value.test(text)) throw error;
      throw new InvalidArgumentError(`${error.message}. ${serviceRemedy}`);
    }
  };

/** The value of a flag that takes none; undefined if the variable is not set. @throws HyperpolicyError invalid_argument */
export function booleanVariable(name: string, environment: NodeJS.ProcessEnv): boolean | undefined {
  const value = environment[name];
  if (value === undefined) return undefined;
  if (value === 'true' || value === 'false') return value === 'true';
  throw invalidArgument({ where: `variable ${name}`, expected: 'true or false', actual: JSON.stringify(value) });
}
