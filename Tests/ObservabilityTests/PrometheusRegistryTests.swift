import Metrics
import Observability
import Testing

@Suite struct PrometheusRegistryTests {
  @Test func everyKindIsRendered() {
    let registry = PrometheusRegistry(buckets: ["size": [1, 10]])
    let drops = Counter(label: "drops", dimensions: [("reason", "bad \"mac\"")], factory: registry)
    drops.increment(by: 2)
    Counter(label: "drops", dimensions: [("reason", "bad \"mac\"")], factory: registry).increment()
    Gauge(label: "table.size", factory: registry).record(7.5)
    let size = Recorder(label: "size", factory: registry)
    for value in [1, 5, 50] { size.record(value) }
    Timer(label: "login", factory: registry).recordNanoseconds(1_500_000)
    let text = registry.render()
    #expect(text.contains("# TYPE drops_total counter\ndrops_total{reason=\"bad \\\"mac\\\"\"} 3\n"))
    #expect(text.contains("# TYPE table_size gauge\ntable_size 7.5\n"))
    #expect(
      text.contains(
        "size_bucket{le=\"1\"} 1\nsize_bucket{le=\"10\"} 2\nsize_bucket{le=\"+Inf\"} 3\n"
          + "size_sum 56\nsize_count 3\n"
      ))
    #expect(text.contains("login_seconds_bucket{le=\"0.001\"} 0\nlogin_seconds_bucket{le=\"0.0025\"} 1\n"))
  }

  @Test func labelSetsAreBoundedAndTheRefusedAreCounted() {
    let registry = PrometheusRegistry(maximumSeries: 3)
    for peer in 0..<10 {
      Counter(label: "x", dimensions: [("peer", "\(peer)")], factory: registry).increment()
    }
    let text = registry.render()
    #expect(text.split(separator: "\n").count { $0.hasPrefix("x_total{") } == 3)
    #expect(text.contains("shadowmesh_metric_series_refused_total 7"))
  }

  @Test func aNameBelongsToOneKind() {
    let registry = PrometheusRegistry()
    Gauge(label: "x_total", factory: registry).record(1)
    Counter(label: "x", factory: registry).increment(by: 5)
    #expect(registry.render().contains("x_total 1\n"))
    #expect(registry.render().contains("series_refused_total 1"))
  }
}
