// ActStream of a hyperpolicy server for a control loop: never makes the loop wait. Observations go out from a thread of their own, of which
// only the newest counts; a stream that ended is opened again.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error-kinds.hpp"
#include "hyperpolicy/v1/policy_service.grpc.pb.h"
#include "received.hpp"

namespace robot {

namespace v1 = hyperpolicy::v1;

class ActionStream {
 public:
  // An action, [A], and when what it answers was observed. Called in a thread of the stream.
  using Listener = std::function<void(std::vector<float> action, double observed_at_ms)>;

  ActionStream(std::shared_ptr<grpc::Channel> channel, std::string model, std::size_t action_size, Listener listener)
      : stub_(v1::PolicyService::NewStub(std::move(channel))),
        model_(std::move(model)),
        action_size_(action_size),
        listener_(std::move(listener)) {
    thread_ = std::thread([this] { run(); });
  }

  ~ActionStream() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    wake_.notify_all();
    thread_.join();
  }

  // Sends an observation, [O], in place of one that has not gone out yet.
  void send(std::vector<float> observation, double observed_at_ms) {
    {
      std::lock_guard lock(mutex_);
      next_ = {std::move(observation), observed_at_ms};
    }
    wake_.notify_all();
  }

  // Answers that were no actions, [A], of finite values: they are not given to the listener.
  long unusable_count() const { return unusable_count_; }

  // Kind of the newest error since the last answer; empty where there is none.
  std::string problem() {
    std::lock_guard lock(mutex_);
    return problem_;
  }

 private:
  using Call = grpc::ClientReaderWriter<v1::ActStreamRequest, v1::ActStreamResponse>;
  using Observation = std::pair<std::vector<float>, double>;

  void run() {
    while (auto first = take()) {
      grpc::ClientContext context;
      set(&context);
      auto call = stub_->ActStream(&context);
      std::thread reader([&] { read(*call); });
      // The first request says which model; the next ones are its own.
      for (bool is_first = true; first && call->Write(request(*first, is_first)); is_first = false) first = take();
      call->WritesDone();
      context.TryCancel();
      reader.join();
      const auto status = call->Finish();
      if (!status.ok() && !is_stopped()) fail(kind_of(status.error_code()));
      set(nullptr);
      // Between two tries.
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::milliseconds(100), [this] { return stopped_; });
    }
  }

  void set(grpc::ClientContext* context) {
    std::lock_guard lock(mutex_);
    context_ = context;
    is_over_ = false;
    sent_.clear();
    if (stopped_ && context != nullptr) context->TryCancel();
  }

  // Waits for the next observation; none where the stream is closed, or its call is over.
  std::optional<Observation> take() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopped_ || next_ || (is_over_ && context_ != nullptr); });
    if (stopped_ || !next_ || (is_over_ && context_ != nullptr)) return std::nullopt;
    return std::exchange(next_, std::nullopt);
  }

  v1::ActStreamRequest request(const Observation& observation, bool names_model) {
    v1::ActStreamRequest request;
    request.set_newest_wins(true);
    auto& act = *request.mutable_act();
    if (names_model) act.set_model(model_);
    act.set_sequence(++sequence_);
    auto& tensor = *act.mutable_observation();
    tensor.add_shape(static_cast<std::uint32_t>(observation.first.size()));
    // Little-endian float32, as this machine has them.
    tensor.set_data(observation.first.data(), observation.first.size() * sizeof(float));
    std::lock_guard lock(mutex_);
    sent_.emplace_back(sequence_, observation.second);
    if (sent_.size() > 1024) sent_.pop_front();
    return request;
  }

  void read(Call& call) {
    for (v1::ActStreamResponse response; call.Read(&response);) {
      if (response.has_response()) receive(response.response());
      else if (response.has_error()) fail(kind_of(response.error().status()));
    }
    {
      std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    wake_.notify_all();
  }

  void receive(const v1::ActResponse& response) {
    std::optional<double> observed_at_ms;
    {
      std::lock_guard lock(mutex_);
      // Answers come in order; what is passed over was superseded.
      while (!sent_.empty() && sent_.front().first <= response.sequence()) {
        if (sent_.front().first == response.sequence()) observed_at_ms = sent_.front().second;
        sent_.pop_front();
      }
    }
    // The server's own stand-in is not an answer to this observation.
    if (!observed_at_ms || response.has_fallback_taken()) return;
    auto action = received_action(response, action_size_);
    if (action) {
      fail("");
      listener_(std::move(*action), *observed_at_ms);
    } else {
      unusable_count_++;
      fail("failed_precondition");
    }
  }

  bool is_stopped() {
    std::lock_guard lock(mutex_);
    return stopped_;
  }

  // Without a kind: it is over.
  void fail(const char* kind) {
    std::lock_guard lock(mutex_);
    problem_ = kind;
  }

  // What a status alone means: the last kind that has it. A status that is none is a fault.
  static const char* kind_of(int code) {
    const char* kind = "internal";
    for (const ErrorKind& one : error_kinds) kind = one.code == code ? one.kind : kind;
    return kind;
  }

  static const char* kind_of(const std::string& status) {
    const char* kind = "internal";
    for (const ErrorKind& one : error_kinds) kind = status == one.status ? one.kind : kind;
    return kind;
  }

  std::unique_ptr<v1::PolicyService::Stub> stub_;
  std::string model_;
  std::size_t action_size_;
  Listener listener_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Observation> next_;
  std::deque<std::pair<std::uint64_t, double>> sent_;
  grpc::ClientContext* context_ = nullptr;
  bool stopped_ = false, is_over_ = false;
  std::string problem_;
  std::uint64_t sequence_ = 0;
  std::atomic<long> unusable_count_ = 0;
  std::thread thread_;
};

}  // namespace robot
