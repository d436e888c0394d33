/** Server reflection, without a transport: the descriptors of the registered services, from the generated code. */

import { createRegistry, type DescFile, type DescService, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type {
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from '../gen/grpc/reflection/v1/reflection_pb.ts';
import { quoted } from './errors.ts';
import { statusCodes } from './status.ts';

type ResponseInit = MessageInitShape<typeof ServerReflectionResponseSchema>;
type Answer = NonNullable<ResponseInit['messageResponse']>;

export function createReflection(services: readonly DescService[]): (request: ServerReflectionRequest) => ResponseInit {
  const files = withImports(services.map(({ file }) => file));
  const types = createRegistry(...files);

  function fileOf(symbol: string): DescFile | undefined {
    const [, parent = '', name] = /^(.*)\.([^.]*)$/.exec(symbol) ?? [];
    const hasMethod = types.getService(parent)?.methods.some((method) => method.name === name);
    return types.get(hasMethod ? parent : symbol)?.file;
  }

  function answer({ messageRequest: { case: question, value } }: ServerReflectionRequest): Answer {
    switch (question) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case 'fileByFilename':
        return fileAnswer(
          files.find(({ name }) => `${name}.proto` === value),
          value,
        );
      case 'fileContainingSymbol':
        return fileAnswer(fileOf(value), value);
      case 'allExtensionNumbersOfType':
      case 'fileContainingExtension':
        return refusal('NOT_FOUND', 'expected a type with extensions, got one without');
      default:
        return refusal('INVALID_ARGUMENT', 'expected a request, got none');
    }
  }
  return (request) => ({ validHost: request.host, originalRequest: request, messageResponse: answer(request) });
}

/** These files and all that they import, each once. */
function withImports(files: readonly DescFile[]): DescFile[] {
  // The loop also visits files that are added meanwhile.
  const all = new Set(files);
  for (const { dependencies } of all) for (const file of dependencies) all.add(file);
  return [...all];
}

/** A file and all that it imports, encoded once. */
const encoded = new WeakMap<DescFile, Uint8Array[]>();

function fileAnswer(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return refusal('NOT_FOUND', `expected a file or symbol of this server, got ${quoted(asked)}`);
  const fileDescriptorProto =
    encoded.get(file) ?? withImports([file]).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  encoded.set(file, fileDescriptorProto);
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

const refusal = (status: 'NOT_FOUND' | 'INVALID_ARGUMENT', errorMessage: string): Answer => ({
  case: 'errorResponse',
  value: { errorCode: statusCodes[status], errorMessage },
});
