//! The backward pass of a convolution that doubles the grid, image by image.

use crate::kernels::panels::Panels;
use crate::kernels::product::{End, OuterSum};

use super::super::context::{Source, lanes, sum_in_lanes};
use super::Backward;

impl Backward<'_> {
    pub(super) fn transposed(
        &self,
        weight_gradient: &mut [f32],
        out: Option<&mut [f32]>,
        end: End<'_>,
    ) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let weight = &context.decayed[of.weight.clone()];
        let window = context.window(of, self.grid.size(), Some(self.out_grid.size()));
        let depth = window.depth(outputs);
        let panels = Panels::from_rows(context.pool, context.set, depth, inputs, |k| {
            &weight[k * inputs..(k + 1) * inputs]
        });
        let large = window.bordered_large();
        let lane_count = lanes(self.grid.count, self.grid.places());
        let image_len = self.grid.of_image() * inputs;
        let pitch = large.pitch(outputs);
        let parts = Self::parts(out, lane_count, self.grid.count, image_len);
        sum_in_lanes(
            context.pool,
            parts,
            self.grid.count,
            weight_gradient,
            |share, mut out, weights| {
                let mut up = context.pool.zeros(large.len(outputs));
                for (index, image) in share.enumerate() {
                    self.up_image(image, &large, 1, &mut up);
                    if let Some(out) = &mut out {
                        let out = &mut out[index * image_len..(index + 1) * image_len];
                        window.gather(context.set, &up, outputs, &panels, out, end);
                    }
                    let Source::Plain(values) = self.source else {
                        unreachable!("a neck reads what is stored");
                    };
                    let values = &values[image * image_len..(image + 1) * image_len];
                    for tap in 0..of.kernel * of.kernel {
                        let start = tap / of.kernel * pitch + tap % of.kernel * outputs;
                        context.set.run(OuterSum {
                            left: &up[start..],
                            left_line: of.stride * pitch,
                            left_step: of.stride * outputs,
                            right: values,
                            right_line: self.grid.width * inputs,
                            right_step: inputs,
                            lines: self.grid.height,
                            steps: self.grid.width,
                            rows: outputs,
                            columns: inputs,
                            out: &mut weights[tap * outputs * inputs..(tap + 1) * outputs * inputs],
                            out_stride: inputs,
                        });
                    }
                }
            },
        );
        Vec::new()
    }
}
