// What a plan is asked for: sliders over steps that make sense, and the request that they are.

/** Steps of each slider. d_model's are those of the encoders that the server knows. */
export const STEPS = {
  num_moe_layers: [1, 2, 3, 4, 6, 8, 12, 16],
  num_experts: [2, 4, 8, 16, 32, 64, 128],
  top_k: [1, 2, 3, 4, 6, 8],
  d_ff: [32, 64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 8192],
  branches: [1, 2, 3, 5, 8, 10, 16, 20, 32, 50, 100, 200, 500],
  num_rows: [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000],
  tokens_per_text: [8, 16, 32, 64, 96, 128, 192, 256, 384, 512],
  epochs: [1, 2, 3, 5, 10, 20, 30, 50, 100],
  num_devices: [1, 2, 4, 8],
};

export const HERE = "here"; // the machine that the server runs on

export const FIRST = {
  encoder: "all-MiniLM-L6-v2", num_moe_layers: 2, num_experts: 8, top_k: 2, d_ff: 128, branches: 3, num_rows: 10_000,
  tokens_per_text: 32, epochs: 50, num_devices: 1, device: HERE, precision: "auto",
};

const LEAST_BATCH = 64; // of a run that says nothing else
const LEAST_LENGTH = 128;

/** The settings with what does not fit together put right: no more FFN experts a token than there are, rows for each branch. */
export function fitting(settings, encoder) {
  const most = (key, limit) => Math.max(...STEPS[key].filter((step) => step <= limit), STEPS[key][0]);
  return {
    ...settings,
    top_k: Math.min(settings.top_k, most("top_k", settings.num_experts)),
    tokens_per_text: Math.min(settings.tokens_per_text, most("tokens_per_text", encoder?.max_seq_len ?? LEAST_LENGTH)),
    num_rows: Math.max(settings.num_rows, settings.branches),
  };
}

/** The body of `POST /v1/plan`. */
export function requestOf(settings, encoder) {
  const each = Math.max(LEAST_BATCH, settings.branches, settings.num_devices);
  return {
    system: {
      base_model_name: settings.encoder, num_moe_layers: settings.num_moe_layers, num_experts: settings.num_experts,
      top_k: settings.top_k, d_ff: settings.d_ff, branches: settings.branches,
      max_seq_len: Math.min(encoder?.max_seq_len ?? LEAST_LENGTH, Math.max(LEAST_LENGTH, settings.tokens_per_text)),
    },
    training: { epochs: settings.epochs, batch_size: 2 ** Math.ceil(Math.log2(each)) },
    num_rows: settings.num_rows, tokens_per_text: settings.tokens_per_text, device: settings.device,
    num_devices: settings.num_devices, precision: settings.precision,
  };
}
