// The C++ commander for the cases of commander.json, as lines: `new AGE RAMP INTERPOLATION WATCHDOG SAFE...`, `take OBSERVED ACTION...`,
// `safe ACTION...`, `decide NOW OBSERVED`, `command NOW`. Answers each decide with the mode and each command with its values.
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "commander.hpp"

int main() {
  std::optional<robot::Commander> commander;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    std::vector<double> numbers;
    for (double number; words >> number;) numbers.push_back(number);
    if (verb == "new") {
      robot::CommanderOptions options;
      options.age_ms_max = numbers[0];
      options.ramp_ms = numbers[1];
      options.interpolation_ms = numbers[2];
      options.watchdog_ms = numbers[3];
      options.safe_action.assign(numbers.begin() + 4, numbers.end());
      commander.emplace(options);
    } else if (verb == "take") {
      commander->take(robot::Action(numbers.begin() + 1, numbers.end()), numbers[0]);
    } else if (verb == "safe") {
      commander->set_safe_action(robot::Action(numbers.begin(), numbers.end()));
    } else if (verb == "decide") {
      std::puts(robot::names_of_modes[static_cast<int>(commander->decide(numbers[0], numbers[1]))]);
    } else {
      for (const float value : commander->command(numbers[0])) std::printf("%.9g ", value);
      std::puts("");
    }
  }
}
