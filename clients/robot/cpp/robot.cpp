// A control loop at a fixed rate in C++: `robot ADDRESS MODEL [PERIOD_MS [CYCLES]]`. Without CYCLES it runs until SIGINT or SIGTERM. Prints a line
// of JSON at each change of mode, and what its cycles come to at the end. The robot itself is yours: `observe` and `apply`.

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "action-stream.hpp"
#include "commander.hpp"

namespace {

volatile std::sig_atomic_t is_stopped = 0;

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<float> observe(int size) { return std::vector<float>(size, 0.0F); }

void apply(const robot::Action&) {}

std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A server that is frozen or unplugged is noticed by pings, and tried again soon.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 600);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 250);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

robot::v1::GetModelResponse describe(const std::shared_ptr<grpc::Channel>& channel, const std::string& model) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  robot::v1::GetModelRequest request;
  request.set_model(model);
  robot::v1::GetModelResponse response;
  const auto status = robot::v1::PolicyService::NewStub(channel)->GetModel(&context, request, &response);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error_message().c_str());
    std::exit(1);
  }
  if (!robot::is_whole(response)) {
    std::fprintf(stderr, "GetModel: expected a description with names and a safe action of finite values, got one that is not whole\n");
    std::exit(1);
  }
  return response;
}

}  // namespace

int main(int count, char** given) {
  const double period_ms = count > 3 ? std::atof(given[3]) : 10;
  const long cycle_count_max = count > 4 ? std::atol(given[4]) : -1;
  if (count < 3 || !(period_ms > 0)) {
    std::fprintf(stderr, "robot: expected ADDRESS MODEL [PERIOD_MS above 0 [CYCLES]]\n");
    return 2;
  }
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { is_stopped = 1; });
  const auto channel = connect(given[1]);
  const auto described = describe(channel, given[2]);
  robot::CommanderOptions options;
  options.safe_action.assign(described.safe_action().begin(), described.safe_action().end());
  options.age_ms_max = 10 * period_ms;
  options.ramp_ms = 20 * period_ms;
  options.watchdog_ms = 3 * period_ms;
  robot::Commander commander(options);
  std::mutex mutex;
  std::condition_variable answered;
  double answered_at_ms = 0;
  const std::size_t action_size = options.safe_action.size();
  robot::ActionStream stream(channel, given[2], action_size, [&](robot::Action action, double observed_at_ms) {
    {
      std::lock_guard lock(mutex);
      commander.take(std::move(action), observed_at_ms);
      answered_at_ms = std::max(answered_at_ms, observed_at_ms);
    }
    answered.notify_all();
  });

  const auto begin = std::chrono::steady_clock::now();
  const double begin_ms = now_ms();
  long counts[4] = {}, cycle_count = 0, missed_count = 0;
  double jitter_ms_max = 0;
  std::optional<robot::Mode> told;
  for (long period = 0; !is_stopped && cycle_count != cycle_count_max; period++) {
    // Periods that are wholly over are passed over.
    period = std::max(period, static_cast<long>((now_ms() - begin_ms) / period_ms));
    std::this_thread::sleep_until(begin + std::chrono::duration<double, std::milli>(static_cast<double>(period) * period_ms));
    const double due_ms = begin_ms + static_cast<double>(period) * period_ms;
    const double observed_at_ms = now_ms();
    jitter_ms_max = std::max(jitter_ms_max, observed_at_ms - due_ms);
    stream.send(observe(described.observation().names_size()), observed_at_ms);
    std::unique_lock lock(mutex);
    const std::chrono::duration<double, std::milli> half(period_ms / 2);
    answered.wait_for(lock, half, [&] { return answered_at_ms >= observed_at_ms; });
    const double at_ms = now_ms();
    const auto mode = commander.decide(at_ms, observed_at_ms);
    const auto command = commander.command(at_ms);
    lock.unlock();
    apply(command);
    cycle_count++;
    counts[static_cast<int>(mode)]++;
    missed_count += now_ms() >= due_ms + period_ms ? 1 : 0;
    if (told != mode) std::printf("{\"cycle\":%ld,\"mode\":\"%s\"}\n", period, robot::names_of_modes[static_cast<int>(mode)]);
    std::fflush(stdout);
    told = mode;
  }
  std::printf("{\"cycles\":%ld,\"fresh\":%ld,\"hold\":%ld,\"ramp\":%ld,\"safe\":%ld,\"missed\":%ld,\"unusable\":%ld,\"jitterMsMax\":%.3f}\n", cycle_count,
              counts[0], counts[1], counts[2], counts[3], missed_count, stream.unusable_count(), jitter_ms_max);
  return 0;
}
