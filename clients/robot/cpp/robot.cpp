// A control loop at a fixed rate in C++: `robot ADDRESS MODEL [PERIOD_MS [CYCLES [LOG]]]`. With CYCLES 0 it runs until SIGINT or SIGTERM. Prints a
// line of JSON at each change of mode, and what its cycles come to at the end; LOG is a file for the cycles themselves. The robot itself is yours:
// `observe` and `apply`.

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "action-stream.hpp"
#include "commander.hpp"
#include "cycle-log.hpp"

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
  // The library's name for how long one try to connect may take at least: a host that says nothing would have 20 s for each.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 250);
  // As the other clients: what `http_proxy` names is not between a loop and its server.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
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
  const long cycle_count_max = count > 4 ? std::atol(given[4]) : 0;
  if (count < 3 || !(period_ms > 0)) {
    std::fprintf(stderr, "robot: expected ADDRESS MODEL [PERIOD_MS above 0 [CYCLES [LOG]]]\n");
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
  robot::CycleLog log(60'000);
  std::optional<robot::Mode> told;
  long next = 0;
  for (long done = 0; !is_stopped && (cycle_count_max <= 0 || done < cycle_count_max); done++) {
    std::this_thread::sleep_until(begin + std::chrono::duration<double, std::milli>(static_cast<double>(next) * period_ms));
    robot::Cycle cycle;
    // Periods that are wholly over are passed over.
    cycle.index = std::max(next, static_cast<long>((now_ms() - begin_ms) / period_ms));
    cycle.skipped_count = cycle.index - next;
    cycle.due_ms = begin_ms + static_cast<double>(cycle.index) * period_ms;
    const double observed_at_ms = now_ms();
    cycle.jitter_ms = observed_at_ms - cycle.due_ms;
    stream.send(observe(described.observation().names_size()), observed_at_ms);
    std::unique_lock lock(mutex);
    const std::chrono::duration<double, std::milli> half(period_ms / 2);
    const bool is_answered = answered.wait_for(lock, half, [&] { return answered_at_ms >= observed_at_ms; });
    const double at_ms = now_ms();
    cycle.mode = commander.decide(at_ms, observed_at_ms);
    cycle.command = commander.command(at_ms);
    cycle.age_ms = commander.age_ms(at_ms);
    lock.unlock();
    apply(cycle.command);
    if (is_answered) cycle.latency_ms = at_ms - observed_at_ms;
    cycle.took_ms = now_ms() - observed_at_ms;
    cycle.missed = now_ms() >= cycle.due_ms + period_ms;
    cycle.problem = stream.problem();
    if (told != cycle.mode) std::printf("{\"cycle\":%ld,\"mode\":\"%s\"}\n", cycle.index, robot::names_of_modes[static_cast<int>(cycle.mode)]);
    std::fflush(stdout);
    told = cycle.mode;
    next = cycle.index + 1;
    log.add(std::move(cycle));
  }
  log.summarise(stdout);
  std::printf(",\"unusable\":%ld}\n", stream.unusable_count());
  if (count > 5) {
    std::FILE* file = std::fopen(given[5], "w");
    if (file == nullptr) {
      std::fprintf(stderr, "robot: expected a file that can be written, got %s\n", given[5]);
      return 1;
    }
    log.write(file);
    std::fclose(file);
  }
  return 0;
}
