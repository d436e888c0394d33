/** Server reflection, without a transport: the descriptors of the services that are registered, from the generated code. */

import { type DescFile, type DescService, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { quoted } from '../../src/contract/errors.ts';
import { statusCodes } from '../../src/contract/status.ts';
import type {
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from '../../src/gen/grpc/reflection/v1/reflection_pb.ts';

export type ReflectionResponseInit = MessageInitShape<typeof ServerReflectionResponseSchema>;

export type Reflection = (request: ServerReflectionRequest) => ReflectionResponseInit;

export function createReflection(services: readonly DescService[]): Reflection {
  const files = new Map<string, DescFile>();
  const fileBySymbol = new Map<string, DescFile>();
  for (const service of services) addFile(service.file, files, fileBySymbol);

  function messageResponse({ messageRequest }: ServerReflectionRequest): ReflectionResponseInit['messageResponse'] {
    switch (messageRequest.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case 'fileByFilename':
        return fileResponse(files.get(messageRequest.value), messageRequest.value);
      case 'fileContainingSymbol':
        return fileResponse(fileBySymbol.get(messageRequest.value), messageRequest.value);
      case 'allExtensionNumbersOfType':
      case 'fileContainingExtension':
        return refusal('NOT_FOUND', 'expected a type with extensions, got one without');
      default:
        return refusal('INVALID_ARGUMENT', 'expected a request, got none');
    }
  }

  return (request) => ({
    validHost: request.host,
    originalRequest: request,
    messageResponse: messageResponse(request) ?? { case: undefined },
  });
}

function addFile(file: DescFile, files: Map<string, DescFile>, fileBySymbol: Map<string, DescFile>): void {
  const name = `${file.name}.proto`;
  if (files.has(name)) return;
  files.set(name, file);
  for (const service of file.services) {
    fileBySymbol.set(service.typeName, file);
    for (const method of service.methods) fileBySymbol.set(`${service.typeName}.${method.name}`, file);
  }
  for (const message of file.messages) fileBySymbol.set(message.typeName, file);
  for (const declared of file.enums) fileBySymbol.set(declared.typeName, file);
  for (const dependency of file.dependencies) addFile(dependency, files, fileBySymbol);
}

function fileResponse(file: DescFile | undefined, asked: string): ReflectionResponseInit['messageResponse'] {
  if (file === undefined) {
    return refusal('NOT_FOUND', `expected a file or symbol of this server, got ${quoted(asked)}`);
  }
  const all = new Map<string, DescFile>();
  addFile(file, all, new Map());
  return {
    case: 'fileDescriptorResponse',
    value: { fileDescriptorProto: [...all.values()].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)) },
  };
}

const refusal = (
  status: 'NOT_FOUND' | 'INVALID_ARGUMENT',
  errorMessage: string,
): ReflectionResponseInit['messageResponse'] => ({
  case: 'errorResponse',
  value: { errorCode: statusCodes[status], errorMessage },
});
