import java.io.FileReader;
import java.io.Reader;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;

/**
 * One run of a workload on Kafka Streams. Arguments are name=value; `settings` names a file of Kafka Streams' own settings.
 * Says `began` when its thread runs, closes (which commits) once it has processed what there is, then waits for the end of stdin.
 */
public final class Peer {
  public static void main(String[] arguments) throws Exception {
    Properties job = new Properties();
    for (String argument : arguments) {
      int at = argument.indexOf('=');
      job.setProperty(argument.substring(0, at), argument.substring(at + 1));
    }
    String guarantee = job.getProperty("guarantee");
    Properties settings = new Properties();
    try (Reader file = new FileReader(job.getProperty("settings"))) {
      settings.load(file);
    }
    // Lines that hold for one guarantee only: `exactly-once:commit.interval.ms=100`.
    for (String name : settings.stringPropertyNames()) {
      int at = name.indexOf(':');
      if (at < 0) continue;
      String value = (String) settings.remove(name);
      if (name.substring(0, at).equals(guarantee)) settings.setProperty(name.substring(at + 1), value);
    }
    settings.setProperty(StreamsConfig.APPLICATION_ID_CONFIG, job.getProperty("group"));
    settings.setProperty(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.getProperty("brokers"));
    settings.setProperty(StreamsConfig.STATE_DIR_CONFIG, job.getProperty("stateDir"));
    settings.setProperty(StreamsConfig.NUM_STREAM_THREADS_CONFIG, "1");
    settings.setProperty(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee.equals("exactly-once") ? "exactly_once_v2" : "at_least_once");
    settings.setProperty("auto.offset.reset", "earliest");
    settings.setProperty(StreamsConfig.NUM_STANDBY_REPLICAS_CONFIG, job.getProperty("standbys", "0"));
    String sessionMs = job.getProperty("sessionMs");
    if (sessionMs != null) {
      settings.setProperty("session.timeout.ms", sessionMs);
      settings.setProperty("heartbeat.interval.ms", String.valueOf(Integer.parseInt(sessionMs) / 3));
    }
    String commitMs = job.getProperty("commitMs");
    if (commitMs != null) settings.setProperty(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);

    Topology topology = Workloads.of(job);
    KafkaStreams streams = new KafkaStreams(topology, settings);
    CountDownLatch failed = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      failed.countDown();
      return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.setStateListener((now, before) -> {
      if (now != KafkaStreams.State.RUNNING) return;
      say("began");
      say("ready");
    });
    streams.start();

    // Without a number it works until told to stop.
    long records = Long.parseLong(job.getProperty("records", "0"));
    Thread told = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {}
      } catch (Exception ignored) {
        // The bench is gone.
      }
      streams.close();
      System.exit(failed.getCount() == 0 ? 1 : 0);
    });
    told.start();
    if (records > 0) {
      List<Metric> processed = processed(streams);
      while (sum(processed) < records && failed.getCount() > 0) Thread.sleep(5);
      // Default settings commit every 30 s: nobody is measured by the clock of that. To close is to flush and commit.
      streams.close();
      say("consumed");
    }
  }

  /** Of all threads, from the metrics that Kafka Streams keeps anyway. Looked up once: each look copies all metrics there are, thousands. */
  private static List<Metric> processed(KafkaStreams streams) {
    List<Metric> found = new ArrayList<>();
    for (var entry : streams.metrics().entrySet()) {
      MetricName name = entry.getKey();
      if (name.name().equals("process-total") && name.group().equals("stream-thread-metrics")) found.add(entry.getValue());
    }
    if (found.isEmpty()) throw new IllegalStateException("Kafka Streams has no metric process-total");
    return found;
  }

  private static double sum(List<Metric> metrics) {
    double sum = 0;
    for (Metric metric : metrics) sum += (Double) metric.metricValue();
    return sum;
  }

  private static synchronized void say(String what) {
    System.out.println("{\"" + what + "\":true}");
    System.out.flush();
  }
}
