import Foundation

/// The process's bound on open files, which bounds its connections too.
enum OpenFiles {
  /// Kept back for the database, listeners, event loops and logs.
  static let reserved = 64

  /// Raises the bound as far as the system permits, and returns it.
  static func raised() -> Int {
    var limit = rlimit()
    #if canImport(Glibc)
      let resource = RLIMIT_NOFILE.rawValue
    #else
      let resource = RLIMIT_NOFILE
    #endif
    guard unsafe getrlimit(.init(resource), &limit) == 0 else { return 1_024 }
    if limit.rlim_cur < limit.rlim_max {
      var raised = limit
      raised.rlim_cur = limit.rlim_max
      if unsafe setrlimit(.init(resource), &raised) == 0 { limit = raised }
    }
    return Int(clamping: limit.rlim_cur)
  }

  /// How many connections each of `listeners` may have with `openFiles`, at most `most`, so that the process
  /// never runs out: accepting would then fail over and over, and the database with it.
  static func connections(forEachOf listeners: Int, openFiles: Int, upTo most: Int) -> Int {
    min(most, max(1, (openFiles - reserved) / max(1, listeners)))
  }
}
