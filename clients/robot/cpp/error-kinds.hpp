// Written by clients/generate.mjs from src/contract/error-kinds.json; never edited.
#pragma once

namespace robot {

// A kind of error, and the status that it travels as. Where kinds share a status, the last one is what the status alone means.
struct ErrorKind {
  const char* kind;
  const char* status;
  int code;
};

constexpr ErrorKind error_kinds[] = {
    // An argument, which the text names.
    {"invalid_argument", "INVALID_ARGUMENT", 3},
    // A model, a version, a label or a handle that is not there.
    {"not_found", "NOT_FOUND", 5},
    // The model does not do that, or an answer cannot be used.
    {"failed_precondition", "FAILED_PRECONDITION", 9},
    // A bound, which the text names.
    {"resource_exhausted", "RESOURCE_EXHAUSTED", 8},
    // No answer in time, or one that is too old.
    {"deadline_exceeded", "DEADLINE_EXCEEDED", 4},
    // A token is missing or unknown.
    {"unauthenticated", "UNAUTHENTICATED", 16},
    // The token is not for this.
    {"permission_denied", "PERMISSION_DENIED", 7},
    // No server, or one that is not ready.
    {"unavailable", "UNAVAILABLE", 14},
    // A newer request of the same stream took its place. A client finds it out from the answers that come.
    {"superseded", "CANCELLED", 1},
    // Whoever asked has given it up. What the status alone means.
    {"cancelled", "CANCELLED", 1},
};

}  // namespace robot
