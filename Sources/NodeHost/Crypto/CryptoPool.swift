import CLinux
import Daemon
import MeshCrypto
import Synchronization

/// A few threads that perform a node's asymmetric operations, off the packet path. At most ``jobLimit`` jobs
/// wait; one more is refused, and the caller answers for it.
final class CryptoPool: Sendable {
  /// Jobs that wait for a thread.
  static let jobLimit = 256

  /// Called on a pool thread with each result.
  typealias Delivery = @Sendable (CryptoTicket, CryptoResult) -> Void

  private struct Waiting {
    let ticket: CryptoTicket
    let job: CryptoJob
  }

  private struct Queue {
    /// A ring of ``jobLimit`` places.
    var places = [Waiting?](repeating: nil, count: CryptoPool.jobLimit)
    var first = 0
    var count = 0
    var isStopped = false
  }

  /// What the threads share. Apart from the pool, so that a thread does not keep the pool alive.
  private final class Shared: Sendable {
    let queue = Mutex(Queue())
    /// Counts the jobs that wait; a thread that takes one sleeps in the kernel while it is zero.
    let waiting: Descriptor
    let perform: @Sendable (CryptoJob) -> CryptoResult
    let delivery: Delivery

    init(
      waiting: Descriptor, perform: @escaping @Sendable (CryptoJob) -> CryptoResult,
      delivery: @escaping Delivery
    ) {
      self.waiting = waiting
      self.perform = perform
      self.delivery = delivery
    }

    func work() {
      while true {
        _ = clinux_event_take(waiting.number)
        let next = queue.withLock { queue -> Waiting? in
          guard !queue.isStopped, queue.count > 0 else { return nil }
          let waiting = queue.places[queue.first]
          queue.places[queue.first] = nil
          queue.first = (queue.first + 1) % CryptoPool.jobLimit
          queue.count -= 1
          return waiting
        }
        guard let next else { return }
        delivery(next.ticket, perform(next.job))
      }
    }
  }

  private let shared: Shared
  private let threads: Mutex<[HostThread]>

  /// Starts `threads` threads; each calls `delivery` itself.
  init(
    threads count: Int, perform: @escaping @Sendable (CryptoJob) -> CryptoResult,
    delivery: @escaping Delivery
  ) throws(SystemError) {
    let number = try SystemError.check(clinux_event_open(true))
    shared = Shared(waiting: Descriptor(number), perform: perform, delivery: delivery)
    threads = Mutex([])
    do {
      for _ in 0..<max(1, count) {
        let shared = shared
        let thread = try HostThread(name: "mesh-crypto") { shared.work() }
        threads.withLock { $0.append(thread) }
      }
    } catch {
      stop()
      throw error
    }
  }

  /// Queues a job. `false`: the queue is full or the pool stopped, and nothing will be delivered for it.
  func submit(_ job: CryptoJob, for ticket: CryptoTicket) -> Bool {
    shared.queue.withLock { queue in
      guard !queue.isStopped, queue.count < Self.jobLimit else { return false }
      queue.places[(queue.first + queue.count) % Self.jobLimit] = Waiting(ticket: ticket, job: job)
      queue.count += 1
      clinux_event_signal(shared.waiting.number, 1)
      return true
    }
  }

  /// Drops the jobs that wait, and returns when those under way are delivered and the threads have ended.
  func stop() {
    let isFirst = shared.queue.withLock { queue in
      let isFirst = !queue.isStopped
      queue.isStopped = true
      queue.places = []
      queue.count = 0
      return isFirst
    }
    guard isFirst else { return }
    let ending = threads.withLock { threads in
      let ending = threads
      threads = []
      return ending
    }
    clinux_event_signal(shared.waiting.number, UInt64(max(1, ending.count)))
    for thread in ending { thread.join() }
  }

  deinit { stop() }
}
