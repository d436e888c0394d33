// The log of a loop: every cycle, of which a bounded number is kept, and what they come to. Words and units are those of cycle-log.ts.
#pragma once

#include <algorithm>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "commander.hpp"

namespace robot {

// One cycle. Times are milliseconds of the loop's clock.
struct Cycle {
  long index = 0;              // counts the periods since the start: one that was passed over has no cycle
  double due_ms = 0;
  double jitter_ms = 0;        // how long after that it began
  double took_ms = 0;          // from its beginning until its command was applied
  Mode mode = Mode::safe;
  double age_ms = 0;           // of the observation that the newest answer is to; infinite before the first
  double latency_ms = -1;      // from its own request to the answer; negative where none came while it waited
  bool missed = false;         // the command was applied when the next cycle was due, or later
  long skipped_count = 0;      // periods that were passed over before it
  std::string problem;         // kind of the newest error since the last answer; empty where there is none
  Action command;              // what was applied, [A]
};

class CycleLog {
 public:
  explicit CycleLog(std::size_t cycle_count_max) : cycle_count_max_(cycle_count_max) {}

  void add(Cycle cycle) {
    if (cycles_.size() == cycle_count_max_) cycles_.pop_front();
    cycles_.push_back(std::move(cycle));
  }

  // A line of JSON for each cycle that is kept, oldest first.
  void write(std::FILE* file) const {
    for (const Cycle& one : cycles_) {
      std::fprintf(file, "{\"index\":%ld,\"dueMs\":%.3f,\"jitterMs\":%.3f,\"tookMs\":%.3f,\"mode\":\"%s\",\"ageMs\":%s,\"latencyMs\":%s,", one.index,
                   one.due_ms, one.jitter_ms, one.took_ms, names_of_modes[static_cast<int>(one.mode)], number(one.age_ms).c_str(),
                   one.latency_ms < 0 ? "null" : number(one.latency_ms).c_str());
      std::fprintf(file, "\"missed\":%s,\"skippedCount\":%ld,\"problem\":%s,\"command\":[", one.missed ? "true" : "false", one.skipped_count,
                   one.problem.empty() ? "null" : ("\"" + one.problem + "\"").c_str());
      for (std::size_t i = 0; i < one.command.size(); i++) std::fprintf(file, "%s%.9g", i == 0 ? "" : ",", one.command[i]);
      std::fprintf(file, "]}\n");
    }
  }

  // Of the cycles that are kept, as one object of JSON without its closing brace.
  void summarise(std::FILE* file) const {
    long counts[4] = {}, missed_count = 0, skipped_count = 0;
    std::vector<double> jitters, latencies;
    for (const Cycle& one : cycles_) {
      counts[static_cast<int>(one.mode)]++;
      missed_count += one.missed ? 1 : 0;
      skipped_count += one.skipped_count;
      jitters.push_back(one.jitter_ms);
      if (one.latency_ms >= 0) latencies.push_back(one.latency_ms);
    }
    std::sort(jitters.begin(), jitters.end());
    std::sort(latencies.begin(), latencies.end());
    std::fprintf(file, "{\"cycles\":%zu,\"fresh\":%ld,\"hold\":%ld,\"ramp\":%ld,\"safe\":%ld,\"missed\":%ld,\"skipped\":%ld,", cycles_.size(),
                 counts[0], counts[1], counts[2], counts[3], missed_count, skipped_count);
    std::fprintf(file, "\"jitterMs\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f},\"latencyMs\":{\"p50\":%.3f,\"p99\":%.3f}", at(jitters, 0.5),
                 at(jitters, 0.99), at(jitters, 0.999), at(jitters, 1), at(latencies, 0.5), at(latencies, 0.99));
  }

 private:
  static std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", value);
    // JSON has no infinity.
    return value < 1e300 ? text : "null";
  }

  static double at(const std::vector<double>& sorted, double part) {
    if (sorted.empty()) return 0;
    return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(part * static_cast<double>(sorted.size())))];
  }

  std::size_t cycle_count_max_;
  std::deque<Cycle> cycles_;
};

}  // namespace robot
