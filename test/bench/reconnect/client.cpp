// A C++ client of gRPC as it is, against a server that refuses its connection: 10 s of calls. The server's metrics count the attempts.
//
//   g++ -std=c++17 client.cpp -o client $(pkg-config --cflags --libs grpc++)
//   ./client 127.0.0.1:50051 wait|retry
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

int main(int, char** arguments) {
  using Clock = std::chrono::system_clock;
  const bool wait = std::string(arguments[2]) == "wait";
  grpc::GenericStub stub(grpc::CreateChannel(arguments[1], grpc::InsecureChannelCredentials()));
  const auto end = Clock::now() + std::chrono::seconds(10);
  int calls = 0;
  grpc::Status status;
  for (; Clock::now() < end; calls++) {
    grpc::ClientContext context;
    context.set_wait_for_ready(wait);
    context.set_deadline(std::min(Clock::now() + std::chrono::seconds(1), end));
    // The empty message is a question for the whole server.
    grpc::Slice nothing;
    grpc::ByteBuffer question(&nothing, 1), answer;
    grpc::CompletionQueue queue;
    auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", question, &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag;
    bool isOk;
    queue.Next(&tag, &isOk);
    if (!wait) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::cout << calls << " calls; the last one: " << status.error_message() << std::endl;
}
