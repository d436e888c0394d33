/** The admin port: AdminService with health and reflection, over the models of one process or of all. */

import { AdminService } from '../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { type AdminModels, createAdminHandlers } from './models/admin.ts';
import { adminMethods } from './routes.ts';
import { type GrpcListener, listenGrpc } from './transport/grpc.ts';
import { Health } from './transport/health.ts';
import type { MethodDeps } from './transport/invocation.ts';

/**
 * Listens where the settings say so. It is healthy until it drains, whatever models are ready: it is there to change them.
 * @param deps whose access is that of admins
 * @returns undefined where the settings have no admin port
 * @throws HyperpolicyError as listenGrpc
 */
export async function listenAdmin(
  models: AdminModels,
  deps: MethodDeps,
): Promise<Pick<GrpcListener, 'port' | 'drain'> | undefined> {
  const { config, metrics, log } = deps;
  if (config.adminPort === null) return undefined;
  const health = new Health([AdminService.typeName]);
  const methods = adminMethods(createAdminHandlers(config.store, models), { health, deps });
  const listener = await listenGrpc(methods, config, { metrics, log, port: config.adminPort, setting: 'admin port' });
  health.set(true);
  return {
    port: listener.port,
    drain(drainMs) {
      health.set(false);
      return listener.drain(drainMs);
    },
  };
}
