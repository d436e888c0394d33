// What a server sends, checked before a robot gets it: what does not add up is no answer.
#pragma once

#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "hyperpolicy/v1/policy_service.pb.h"

namespace robot {

// The action of one row, [A]; none where the message is empty, its shape, bytes and size differ, or a value is not finite.
inline std::optional<std::vector<float>> received_action(const hyperpolicy::v1::ActResponse& response, std::size_t size) {
  const auto& tensor = response.action();
  const bool is_row = tensor.shape_size() == 2 && tensor.shape(0) == 1 && tensor.shape(1) == size;
  if (response.version() == 0 || !is_row || size == 0 || tensor.data().size() != size * sizeof(float)) return std::nullopt;
  std::vector<float> action(size);
  // Little-endian float32, as this machine has them.
  std::memcpy(action.data(), tensor.data().data(), tensor.data().size());
  for (const float value : action) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return action;
}

// Whether a description has what a loop needs: names of observations and actions, and a safe action, [A], of finite values.
inline bool is_whole(const hyperpolicy::v1::GetModelResponse& described) {
  const auto& safe = described.safe_action();
  if (described.version() == 0 || described.observation().names().empty() || safe.empty()) return false;
  if (safe.size() != described.action().names_size()) return false;
  for (const double value : safe) {
    if (!std::isfinite(static_cast<float>(value))) return false;
  }
  return true;
}

}  // namespace robot
