// What a robot's actuators get at each time, as a function of the answers so far: the newest action while it is young enough, then a ramp to
// the safe action. The same as commander.ts. Times are milliseconds of one monotonic clock. Not safe to share between threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace robot {

using Action = std::vector<float>;

struct CommanderOptions {
  Action safe_action;              // [A], environment units
  double age_ms_max = 100;         // an action is applied until its observation is so old, and never after
  double ramp_ms = 200;            // from the last command to the safe action
  double interpolation_ms = 0;     // from one action to the next
  double watchdog_ms = 30;         // without a cycle for so long, the ramp begins
};

enum class Mode { fresh, hold, ramp, safe };
constexpr const char* names_of_modes[] = {"fresh", "hold", "ramp", "safe"};

class Commander {
 public:
  explicit Commander(CommanderOptions options)
      : options_(std::move(options)), from_(options_.safe_action), target_(options_.safe_action) {
    if (options_.safe_action.empty() || !is_finite(options_.safe_action))
      throw std::invalid_argument("Commander safe action: no value, or one that is not finite");
  }

  // Takes an answer; one to no newer observation than that of the newest is dropped.
  void take(Action action, double observed_at_ms) {
    if (action.size() != options_.safe_action.size()) throw std::invalid_argument("Commander action: another size than the safe action's");
    if (observed_at_ms <= observed_at_ms_) return;
    newest_ = std::move(action);
    observed_at_ms_ = observed_at_ms;
    is_new_ = true;
  }

  // From now on commands go to this safe action, also those that are there already.
  void set_safe_action(Action action) {
    if (action.size() != options_.safe_action.size() || !is_finite(action))
      throw std::invalid_argument("Commander safe action: another size than before, or a value that is not finite");
    options_.safe_action = std::move(action);
  }

  // A cycle, whose observation was made at `observed_at_ms`: the newest answer is what to apply from now on.
  Mode decide(double now_ms, double observed_at_ms) {
    if (!newest_ || now_ms - observed_at_ms_ > options_.age_ms_max)
      return now_ms - expires_at_ms_ < options_.ramp_ms ? Mode::ramp : Mode::safe;
    if (is_new_ || now_ms > expires_at_ms_) {
      from_ = command(now_ms);
      target_ = *newest_;
      set_at_ms_ = now_ms;
      is_new_ = false;
    }
    expires_at_ms_ = std::min(now_ms + options_.watchdog_ms, observed_at_ms_ + options_.age_ms_max);
    return observed_at_ms_ >= observed_at_ms ? Mode::fresh : Mode::hold;
  }

  // Age of the newest answer's observation; infinite where there is none.
  double age_ms(double now_ms) const { return now_ms - observed_at_ms_; }

  // What actuators get. May be asked at any time between cycles.
  Action command(double now_ms) const {
    if (now_ms <= expires_at_ms_) return acting(now_ms);
    return between(acting(expires_at_ms_), options_.safe_action, share(now_ms - expires_at_ms_, options_.ramp_ms));
  }

 private:
  static constexpr double never = -std::numeric_limits<double>::infinity();

  Action acting(double now_ms) const { return between(from_, target_, share(now_ms - set_at_ms_, options_.interpolation_ms)); }

  static bool is_finite(const Action& action) {
    return std::all_of(action.begin(), action.end(), [](float value) { return std::isfinite(value); });
  }

  // How much of a duration is over, from 0 to 1.
  static double share(double elapsed_ms, double duration_ms) {
    if (elapsed_ms >= duration_ms) return 1;
    return elapsed_ms <= 0 ? 0 : elapsed_ms / duration_ms;
  }

  static Action between(const Action& from, const Action& to, double part) {
    if (part == 1) return to;
    Action result(from.size());
    for (std::size_t i = 0; i < from.size(); i++) result[i] = static_cast<float>(from[i] + part * (to[i] - from[i]));
    return result;
  }

  CommanderOptions options_;
  Action from_, target_;
  std::optional<Action> newest_;
  bool is_new_ = false;
  double observed_at_ms_ = never, set_at_ms_ = 0, expires_at_ms_ = never;
};

}  // namespace robot
